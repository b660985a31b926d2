"""The documentation as pages, in build/site: MkDocs over all pages of the tree, then every link of
every page looked up. Exit code 1 if one leads nowhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cleancut import __version__

ROOT = Path(__file__).resolve().parents[1]
PAGES, SITE = ROOT / "build" / "pages", ROOT / "build" / "site"
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")


def tracked() -> list[str]:
    """Files of the tree, as git has them."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    return [path for path in done.stdout.splitlines() if (ROOT / path).is_file()]


def source() -> str:
    """Where files that are not pages can be read."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['urls']['Source']}/blob/v{__version__}"


def stage() -> int:
    """Copies all pages; links to other files lead to the source. Returns how many pages."""
    shutil.rmtree(PAGES, ignore_errors=True)
    pages = {
        path for path in tracked() if path.endswith(".md") and path.partition("/")[0] != ".github"
    }
    base = source()
    for path in pages:
        target = PAGES / path
        target.parent.mkdir(parents=True, exist_ok=True)
        text = (ROOT / path).read_text(encoding="utf-8")
        target.write_text(_with_links(text, path, pages, base), encoding="utf-8")
    return len(pages)


def _with_links(text: str, path: str, pages: set[str], base: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        begin, link, end = found.groups()
        if "://" in link or link.startswith("mailto:"):
            return found[0]
        name = os.path.normpath(Path(path).parent / link)
        if name in pages:
            return found[0]
        if f"{name}/README.md" in pages:
            return f"{begin}{link.rstrip('/')}/README.md{end}"
        return f"{begin}{base}/{name}{end}"

    return _LINK.sub(replaced, text)


class Page(HTMLParser):
    """Links and anchors of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value is not None:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def dead() -> Iterator[str]:
    """Each link of the site to a file or an anchor of it that is not there."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in SITE.rglob("*.html")}
    for path, page in sorted(pages.items()):
        if path.name == "404.html":
            continue  # its links begin at the address of the site
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (
                path
                if not parts.path
                else Path(os.path.normpath(path.parent / unquote(parts.path)))
            )
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            known = pages[target].anchors if target in pages else None
            if not target.exists() or (anchor and known is not None and anchor not in known):
                yield f"{path.relative_to(SITE)}: {link}"


def main() -> int:
    pages = stage()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--clean"]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "true"}
    if subprocess.run(command, cwd=ROOT, check=False, timeout=600, env=env).returncode:
        return 1
    broken = list(dead())
    for one in broken:
        sys.stdout.write(f"leads nowhere: {one}\n")
    links = sum(len(Page(p.read_text(encoding="utf-8")).links) for p in SITE.rglob("*.html"))
    sys.stdout.write(
        f"{SITE.relative_to(ROOT)}: {pages} pages, {links} links, {len(broken)} broken\n"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
