"""The status page in a browser: no error, no foreign request, contrast, phone, keyboard, no script.

Needs `pip install -e '.[page-tests]'` and Chromium, and is skipped without them.
"""

from __future__ import annotations

import asyncio
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import pytest

from cleancut.api.backups import Backup, BackupBytes
from cleancut.api.cluster import DoctorFinding, DoctorFix
from cleancut.api.rebalances import BalanceStep, Rebalance
from cleancut.core.format.story import Story, StoryKind
from cleancut.core.format.timeline import Band, Lane, Timeline, TimelineAttempt
from cleancut.core.maintenance.due_times import DueTime, DueTimes
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import State
from cleancut.page.routes import PAGES
from cleancut.page.timeline import attempt_svg
from cleancut.rpc.authentication import Access
from cleancut.testing.memory_api import MemoryApi
from cleancut.testing.memory_status import EVIDENCE
from cleancut_coordinator.ui.listen import PageListen
from tests.support.page_source import MemorySource, served_page

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra page-tests")
pytest.importorskip("axe_playwright_python", reason="needs the extra page-tests")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

PATHS = [page.path.replace("{name}", "2") for page in PAGES]
NASTY = "<script>document.title='owned'</script> \u202etxt.exe"
MOVED = BalanceStep("move", NASTY, 0, 7, 8, 1 << 20, done=True)
TO_MOVE = BalanceStep("move", "books", 1, 7, 8, 1 << 20, done=False)
LIMIT_S = 120
_DONE = """() => axe.run({resultTypes: ["violations"]}).then((found) => found.violations.map(
    (one) => `${one.id}: ${one.nodes.map((node) => node.target).join(", ")}`))"""


@dataclass
class Seen:
    """What a browser complained of, and which requests left the page's own address."""

    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@dataclass
class Browser:
    """One browser for all tests of this module, and the page that it shows."""

    browser: Any
    url: str
    create_backup: Callable[[], None]
    seen: Seen = field(default_factory=Seen)

    @contextmanager
    def tab(self, **options: Any) -> Iterator[Any]:
        context = self.browser.new_context(base_url=self.url, **options)
        try:
            page = context.new_page()
            page.on("console", self._console)
            page.on("pageerror", lambda error: self.seen.errors.append(str(error)))
            page.on("request", self._request)
            yield page
        finally:
            context.close()

    def _console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.seen.errors.append(message.text)

    def _request(self, request: Any) -> None:
        if not request.url.startswith(self.url):
            self.seen.foreign.append(request.url)


def source() -> MemorySource:
    """A cluster with a finding, a running backup, timelines, and hostile texts."""
    fix = DoctorFix(command="cleancut backup create", what=NASTY)
    finding = DoctorFinding(kind="late", severity="error", what=NASTY, fixes=(fix,))
    operations = MemoryApi(findings=(finding,))
    for epoch in (1, 2):
        operations.backups[f"b-{epoch}"] = Backup(
            id=f"b-{epoch}",
            epoch=epoch,
            state=State.COMMITTED,
            cut_at=f"2026-01-0{epoch}T00:00:00Z",
            schedule=NASTY,
            collections=("books", "a" * 200),
            evidence=EVIDENCE,
            bytes=BackupBytes(protected=1 << 30, new=1 << 20, stored=1 << 19),
        )
    band = Band(phase="CUT", start_ms=0, end_ms=500)
    lanes = (Lane(name="coordinator", bands=(band,)), Lane(name=NASTY, bands=(band,)))
    attempt = TimelineAttempt(
        epoch=Epoch(2), began_at="2026-01-02T00:00:00Z", start_ms=0, end_ms=900, lanes=lanes,
        reason="PEER_LOST", message=NASTY,
    )  # fmt: skip
    assert attempt_svg(attempt)
    return MemorySource(
        operations,
        timelines={"b-2": Timeline(attempts=(attempt,))},
        stories=work(),
        due_times={NASTY: due_times(time.time())},
        moving=(Rebalance(id="m-1", state=State.MOVING, steps=(MOVED, TO_MOVE)),),
    )


def work() -> list[Story]:
    """What was asked for by hand, and a drill of a schedule that found something."""
    asked: dict[str, Any] = {
        "at": "2026-01-02T01:00:00Z",
        "ended_at": "2026-01-02T01:02:00Z",
        "epoch": 2,
    }
    found, scheduled = {"outcome": NASTY}, {"schedule": NASTY}
    return [
        Story(StoryKind.VERIFY, "v-1", state="DONE", asked_by=NASTY, **asked),
        Story(StoryKind.COPY, "c-1", state="FAILED", asked_by="ci", facts=found, **asked),
        Story(StoryKind.DRILL, "d-1", state="FAILED", facts=scheduled, **asked),
    ]


def due_times(now_s: float) -> DueTimes:
    """One of each kind that a schedule's times can be."""
    given: tuple[dict[str, Any], ...] = (
        {},
        {"handled": True},
        {"handled": True, "missed": NASTY},
        {"waits": True},
    )
    times = [now_s - 3600 * (len(given) - at) for at in range(len(given))]
    return DueTimes(tuple(DueTime(at, at, **other) for at, other in zip(times, given, strict=True)))


@contextmanager
def serving(known: MemorySource) -> Iterator[tuple[str, asyncio.AbstractEventLoop]]:
    """The page on a loop of another thread: the browser has this one."""
    ready: queue.SimpleQueue[Any] = queue.SimpleQueue()

    async def serve() -> None:
        end = asyncio.Event()
        async with served_page(known, PageListen("127.0.0.1:0", Access()), reads=True) as address:
            ready.put((address, asyncio.get_running_loop(), end))
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    address, loop, end = ready.get(timeout=LIMIT_S)
    try:
        yield f"http://{address}", loop
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(LIMIT_S)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    known = source()
    with serving(known) as (url, loop), playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def create() -> None:
            call = known.operations.create_backup(BackupRequest(), "r-live")
            asyncio.run_coroutine_threadsafe(call, loop).result(LIMIT_S)

        yield Browser(made, url, create)
        made.close()


def test_pages_are_quiet_and_readable_in_both_schemes_and_on_a_phone(browser: Browser) -> None:
    """axe finds nothing, no request leaves, nothing is wider than a phone, no text is obeyed."""
    source_of_axe = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    found, widths = {}, {}
    for scheme in ("light", "dark"):
        viewport = {"width": 375, "height": 700}
        with browser.tab(color_scheme=scheme, viewport=viewport) as page:
            for path in PATHS:
                page.goto(path)
                wide = page.evaluate("document.documentElement.scrollWidth")
                widths[path] = wide
                assert page.title().endswith("cleancut main"), path
                page.evaluate(source_of_axe)
                found[path, scheme] = page.evaluate(_DONE)
    assert {path: wide for path, wide in widths.items() if wide > 375} == {}
    assert {place: texts for place, texts in found.items() if texts} == {}
    assert browser.seen == Seen()


def test_hidden_characters_are_visible(browser: Browser) -> None:
    with browser.tab() as page:
        for path in ("/", "/backups", "/backups/2", "/rebalances", "/verification"):
            page.goto(path)
            assert "<script>document.title='owned'</script> \\u202etxt.exe" in page.inner_text(
                "main"
            )


def test_what_is_drawn_is_also_in_words(browser: Browser) -> None:
    """Each cell of a strip has its text, a bar its name, and the manifest is a download."""
    with browser.tab() as page:
        page.goto("/backups")
        assert page.locator("svg.strip g.missed title").count()
        assert page.locator("svg.strip g.late title").count()
        assert page.locator("svg.strip g.expired title").count()
        page.goto("/rebalances")
        assert page.get_by_role("progressbar", name="steps done").get_attribute("value") == "50"
        page.goto("/backups/2")
        with page.expect_download() as began:
            page.click("text=manifest.json")
        assert began.value.suggested_filename == "backup-2-manifest.json"


def test_without_a_script_everything_can_be_read_and_reached(browser: Browser) -> None:
    with browser.tab(java_script_enabled=False) as page:
        page.goto("/")
        page.click("nav >> text=Growth")
        assert page.locator("svg.lines").count() == 1
        page.click("nav >> text=Backups")
        page.fill("input[name=collection]", "nothing")
        page.click("form.filters button")
        assert page.locator("text=There is no backup.").count() == 1


def test_the_keyboard_reaches_the_content_and_every_page(browser: Browser) -> None:
    with browser.tab() as page:
        page.goto("/")
        page.keyboard.press("Tab")
        focused = "document.activeElement.textContent"
        assert page.evaluate(focused) == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.goto("/verification")
        for title in ("Skip to the content", "Now", "Backups"):
            page.keyboard.press("Tab")
            assert page.evaluate(focused) == title
        page.keyboard.press("Enter")
        page.wait_for_url("**/backups")


def test_what_moves_comes_without_loading_the_page_again(browser: Browser) -> None:
    with browser.tab() as page:
        page.goto("/")
        page.evaluate("window.same = true")
        browser.create_backup()
        page.wait_for_selector(".card.running")
        assert page.evaluate("window.same") is True
        assert page.inner_text("#stream") == "live"
    assert browser.seen == Seen()
