"""Examples and pages of the help texts, by the words that call a command.

Order: loaded when a help is shown. A test parses each example and looks for each page.
"""

from __future__ import annotations

from typing import NamedTuple

DOCS_URL = "https://cleancut.example/docs"
"""As in pyproject.toml: a test compares them."""
_STORE = "cleancut --store s3://bucket/prefix"


class Explained(NamedTuple):
    """The page, as its path under docs/ without `.md`, and command lines to copy."""

    page: str
    lines: tuple[str, ...]

    @property
    def url(self) -> str:
        return f"{DOCS_URL}/{self.page}/"


def explained(path: str) -> Explained | None:
    """`path`: the words after the program's name; "" for the program itself."""
    return _EXPLAINED.get(path)


_EXPLAINED = {
    "": Explained(
        "index",
        (
            "cleancut --coordinator qdrant-0:7400 backup create",
            f"{_STORE} backup list",
            "cleancut help backup create",
        ),
    ),
    "adopt": Explained("how-to/etcd-restored", ("cleancut adopt",)),
    "agent": Explained(
        "how-to/kubernetes", ("cleancut agent values --etcd etcd:2379 > values.yaml",)
    ),
    "agent values": Explained(
        "how-to/kubernetes",
        (f"{_STORE} --cluster prod agent values --etcd etcd:2379 > values.yaml",),
    ),
    "alerts": Explained("how-to/monitoring", ("cleancut alerts > rules.yaml",)),
    "archive": Explained("how-to/archive", ("cleancut archive status",)),
    "archive status": Explained(
        "how-to/archive", ("cleancut archive status", "cleancut archive status -o json")
    ),
    "backup": Explained(
        "how-to/backup",
        ("cleancut backup create", "cleancut backup list", "cleancut backup show 17"),
    ),
    "backup cancel": Explained("how-to/backup", ("cleancut backup cancel 17",)),
    "backup check": Explained(
        "how-to/monitoring",
        (
            "cleancut backup check --max-age 26h",
            "cleancut backup check --max-age 26h --warn-age 25h -c products",
        ),
    ),
    "backup copy": Explained(
        "how-to/second-site", (f"{_STORE} backup copy --new --to file:///mnt/second",)
    ),
    "backup create": Explained(
        "how-to/backup",
        (
            "cleancut backup create",
            "cleancut backup create -c products -c orders --require point-in-time",
            "cleancut backup create --dry-run",
            "cleancut backup create --label ticket=OPS-42 --keep 30d",
        ),
    ),
    "backup delete": Explained("how-to/retention", ("cleancut backup delete 17",)),
    "backup diff": Explained(
        "how-to/diff",
        (f"{_STORE} backup diff 16 17", f"{_STORE} backup diff 16 17 -c products --ids"),
    ),
    "backup drill": Explained(
        "how-to/verify",
        ("cleancut backup drill latest", f"{_STORE} backup drill latest --shards 3"),
    ),
    "backup export": Explained(
        "how-to/export",
        (f"{_STORE} backup export 17 -c products --format jsonl --out products.jsonl",),
    ),
    "backup extract": Explained(
        "how-to/export",
        (
            f"{_STORE} backup extract 17 -c products --as-snapshot --out products.tar",
            f"{_STORE} backup extract 17 -c products --as-snapshot --peers 3 --out products.tar",
        ),
    ),
    "backup gc": Explained(
        "how-to/retention", ("cleancut backup gc --dry-run", "cleancut backup gc")
    ),
    "backup hold": Explained(
        "how-to/retention", ("cleancut backup hold 17 --reason TICKET-42 --for 90d",)
    ),
    "backup import": Explained(
        "how-to/import", (f"{_STORE} backup import -c products node-1.snapshot node-2.snapshot",)
    ),
    "backup list": Explained(
        "how-to/backup",
        (
            "cleancut backup list",
            "cleancut backup list --label ticket=OPS-42",
            f"{_STORE} backup list --limit 10",
        ),
    ),
    "backup log": Explained("how-to/archive", ("cleancut backup log -c products --since 5m",)),
    "backup query": Explained("how-to/query", (f"{_STORE} backup query 17 -c products --id 4711",)),
    "backup release": Explained(
        "how-to/retention", ("cleancut backup release 17 --reason TICKET-42",)
    ),
    "backup repair": Explained(
        "how-to/second-site", (f"{_STORE} backup repair 17 --from file:///mnt/second",)
    ),
    "backup seed": Explained("how-to/seed", ("cleancut backup seed --streams 4",)),
    "backup show": Explained(
        "how-to/backup", ("cleancut backup show 17", "cleancut backup show latest -o json")
    ),
    "backup verify": Explained(
        "how-to/verify",
        ("cleancut backup verify 17", f"{_STORE} backup verify latest --read-data 10"),
    ),
    "backup watch": Explained("how-to/backup", ("cleancut backup watch 17",)),
    "status": Explained(
        "reference/status", ("cleancut status", "cleancut status -o wide", f"{_STORE} status")
    ),
    "cluster": Explained("how-to/doctor", (f"{_STORE} cluster list",)),
    "cluster forget-peer": Explained("how-to/doctor", ("cleancut cluster forget-peer 4711",)),
    "cluster list": Explained("how-to/disaster-recovery", (f"{_STORE} cluster list",)),
    "cluster rewrite-format": Explained(
        "how-to/disaster-recovery", (f"{_STORE} cluster rewrite-format",)
    ),
    "cluster settings": Explained(
        "how-to/backup",
        ("cleancut cluster settings", "cleancut cluster settings --upload-rate 50MiB"),
    ),
    "completion": Explained(
        "reference/cli",
        (
            'eval "$(cleancut completion bash)"',
            "cleancut completion zsh > ~/.zfunc/_cleancut",
            "cleancut completion fish > ~/.config/fish/completions/cleancut.fish",
        ),
    ),
    "dashboard": Explained("how-to/monitoring", ("cleancut dashboard > dashboard.json",)),
    "demo": Explained("tutorials/demo", ("cleancut demo", "cleancut demo --keep")),
    "doctor": Explained("how-to/doctor", ("cleancut doctor", "cleancut doctor -o json")),
    "key": Explained("how-to/encryption", ("cleancut key new > store.key",)),
    "key list": Explained("how-to/encryption", (f"{_STORE} --store-key-file store.key key list",)),
    "key new": Explained("how-to/encryption", ("cleancut key new > store.key",)),
    "key retire": Explained(
        "how-to/encryption", (f"{_STORE} --store-key-file store.key key retire 0a1b2c3d",)
    ),
    "key rotate": Explained(
        "how-to/encryption", (f"{_STORE} --store-key-file store.keys key rotate",)
    ),
    "key share": Explained(
        "how-to/encryption", (f"{_STORE} --store-key-file store.keys key share",)
    ),
    "mark": Explained("how-to/moments", ("cleancut mark before-migration",)),
    "report": Explained("how-to/monitoring", (f"{_STORE} report > report.html",)),
    "rebalance": Explained(
        "how-to/rebalance", ("cleancut rebalance plan", "cleancut rebalance start")
    ),
    "rebalance cancel": Explained("how-to/rebalance", ("cleancut rebalance cancel rb-1",)),
    "rebalance list": Explained("how-to/rebalance", ("cleancut rebalance list",)),
    "rebalance plan": Explained("how-to/rebalance", ("cleancut rebalance plan --max-moves 5",)),
    "rebalance show": Explained("how-to/rebalance", ("cleancut rebalance show rb-1",)),
    "rebalance start": Explained("how-to/rebalance", ("cleancut rebalance start",)),
    "rebalance watch": Explained("how-to/rebalance", ("cleancut rebalance watch rb-1",)),
    "reshard": Explained("how-to/reshard", ("cleancut reshard plan products --shards 6",)),
    "reshard cancel": Explained("how-to/reshard", ("cleancut reshard cancel rh-1",)),
    "reshard list": Explained("how-to/reshard", ("cleancut reshard list",)),
    "reshard plan": Explained("how-to/reshard", ("cleancut reshard plan products --shards 6",)),
    "reshard show": Explained("how-to/reshard", ("cleancut reshard show rh-1",)),
    "reshard start": Explained("how-to/reshard", ("cleancut reshard start products --shards 6",)),
    "reshard watch": Explained("how-to/reshard", ("cleancut reshard watch rh-1",)),
    "restore": Explained(
        "how-to/restore", ("cleancut restore plan 17", "cleancut restore start 17")
    ),
    "restore cancel": Explained("how-to/restore", ("cleancut restore cancel rs-1",)),
    "restore finish": Explained("how-to/restore", ("cleancut restore finish rs-1",)),
    "restore clean": Explained("how-to/restore", ("cleancut restore clean rs-1",)),
    "restore list": Explained("how-to/restore", ("cleancut restore list",)),
    "restore plan": Explained(
        "how-to/restore", ("cleancut restore plan 17", "cleancut restore plan latest --deep")
    ),
    "restore show": Explained("how-to/restore", ("cleancut restore show rs-1",)),
    "restore start": Explained(
        "how-to/restore",
        (
            "cleancut restore start 17",
            "cleancut restore start 17 -c products --rename products=products-old",
            "cleancut restore start 17 -c products --overwrite --confirm products",
        ),
    ),
    "restore watch": Explained("how-to/restore", ("cleancut restore watch rs-1",)),
    "schedule": Explained("how-to/schedules", ("cleancut schedule list",)),
    "schedule delete": Explained("how-to/schedules", ("cleancut schedule delete weekly --yes",)),
    "schedule list": Explained("how-to/schedules", ("cleancut schedule list",)),
    "schedule pause": Explained("how-to/schedules", ("cleancut schedule pause nightly",)),
    "schedule resume": Explained("how-to/schedules", ("cleancut schedule resume nightly",)),
    "schedule set": Explained(
        "how-to/schedules",
        (
            'cleancut schedule set weekly --cron "0 3 * * SUN" --keep-last 8',
            'cleancut schedule set drill --do drill --cron "0 6 * * SUN" --shards 4',
        ),
    ),
    "schedule show": Explained("how-to/schedules", ("cleancut schedule show nightly",)),
    "schedule trigger": Explained("how-to/schedules", ("cleancut schedule trigger nightly",)),
    "token": Explained("how-to/security", ("cleancut token new --name ci --role operator",)),
    "token new": Explained(
        "how-to/security", ("cleancut token new --name ci --role operator --expires 90d",)
    ),
    "undelete": Explained("how-to/undelete", ("cleancut undelete plan 17 -c products",)),
    "undelete cancel": Explained("how-to/undelete", ("cleancut undelete cancel u-1",)),
    "undelete list": Explained("how-to/undelete", ("cleancut undelete list",)),
    "undelete plan": Explained(
        "how-to/undelete", ("cleancut undelete plan 17 -c products --ids @lost.txt",)
    ),
    "undelete show": Explained("how-to/undelete", ("cleancut undelete show u-1",)),
    "undelete start": Explained(
        "how-to/undelete", ("cleancut undelete start 17 -c products --ids 1,2",)
    ),
    "undelete watch": Explained("how-to/undelete", ("cleancut undelete watch u-1",)),
    "version": Explained("reference/releases", ("cleancut version",)),
}
