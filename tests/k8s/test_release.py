"""Life with the release: schedules, upgrades, automation, secrets that change."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from tests.k8s import guide, scraping
from tests.k8s.cluster import call, start, stop, until
from tests.k8s.configuration import SUPERUSER
from tests.k8s.world import KEYS, World


def test_schedules_and_alerts_by_the_guide(installed: World) -> None:
    """With its monitoring, one schedule that is due each minute, and one that cannot
    succeed: all metrics are read, and the alert names schedule and namespace."""
    scraping.create_kinds()
    step = guide.values("Schedule backups and monitoring")
    minute = {"cron": "* * * * *"}
    step["settings"]["schedule"] |= {"often": minute, "typo": {**minute, "collections": ["typo"]}}
    with installed.changed_values(**step), scraping.scraped(installed) as prometheus:
        assert len(prometheus.pods) == 5
        until(lambda: prometheus.up() == prometheus.pods, "all metrics are read")

        def scheduled() -> bool:
            every = installed.read("backup", "list")["backups"]
            mine = [one for one in every if one["schedule"] == "often"]
            return any(one["state"] == "COMMITTED" for one in mine)

        until(scheduled, "a scheduled backup is committed", 300)
        until(lambda: prometheus.alerts("CleancutBackupFailing"), "the alert fires", 300)
        (told,) = prometheus.alerts("CleancutBackupFailing")
        assert (told["schedule"], told["namespace"]) == ("typo", installed.space)
    installed.back_up()
    installed.whole()


def test_an_upgrade_that_cannot_start_serves_on(installed: World) -> None:
    """New pods wait or end, old ones lead; a rollback removes the new ones."""
    installed.whole()
    before = installed.desk.read("values.yaml")
    wrong = {**before, "settings": {"schedule": {"often": {"cron": "61 * * * *"}}}}
    installed.desk.write("values.yaml", wrong)
    (line,) = guide.commands("Schedule backups and monitoring")
    installed.desk.type(line)
    try:

        def a_new_one_fails() -> bool:
            which = ("-l", "app.kubernetes.io/component=coordinator", "-o", "json")
            found = json.loads(installed.kubectl("get", "pods", *which))["items"]
            states = [s for one in found for s in one["status"].get("containerStatuses") or ()]
            return any(one["restartCount"] >= 1 for one in states)

        until(a_new_one_fails, "a coordinator with a wrong schedule ends")
        assert installed.pods_ready("app.kubernetes.io/component=coordinator") >= 1
    finally:
        installed.desk.write("values.yaml", before)
        installed.desk.type("helm rollback cleancut --namespace qdrant --wait --timeout 5m")
    installed.whole()
    installed.back_up()


def test_uninstalled_and_installed_again(installed: World) -> None:
    """By the other Helm: history, owner and backups are there."""
    installed.whole()
    before = {one["id"] for one in installed.read("backup", "list")["backups"]}
    installed.desk.type("helm uninstall cleancut --namespace qdrant --wait")
    (line,) = guide.commands("Install the coordinators")
    installed.desk.type(line.replace("helm ", "helm4 ", 1))
    installed.rolled_out("deployment/cleancut")
    installed.whole()
    assert before <= {one["id"] for one in installed.read("backup", "list")["backups"]}
    installed.back_up()


def test_the_cron_job_of_the_page(installed: World) -> None:
    """With a token of an operator, as the page says; run at once."""
    installed.whole()
    made = installed.read("token", "new", "--name", "ci", "--role", "operator")["token"]
    token, line = made["token"], made["line"]
    installed.keep_secret("cleancut-tokens", tokens=line + "\n")
    installed.keep_secret("cleancut-token", token=token)
    job = yaml.safe_load(yaml.safe_dump(guide.values("Shell and cron", guide.AUTOMATION)))
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    pod["containers"][0]["image"] = f"localhost/{pod['containers'][0]['image']}"
    api = {"tokensSecret": "cleancut-tokens", "clientCertificates": "none"}
    given = installed.desk.read("values.yaml")["api"]
    with installed.changed_values(api={**given, **api, "clientTokenSecret": "cleancut-token"}):
        installed.kubectl("apply", "-f", "-", text=json.dumps(job))
        installed.kubectl("create", "job", "now", "--from=cronjob/backup-before-import")
        done = ("--for=condition=complete", "--timeout=300s")
        installed.kubectl("wait", "job/now", *done, timeout_s=330)
        installed.kubectl("delete", "job/now", "cronjob/backup-before-import")
    installed.whole()


def test_a_port_forward_to_a_standby(installed: World, tmp_path: Path) -> None:
    """What only the leader may do is done, whichever pod the port leads to."""
    installed.whole()
    names = [one["name"] for one in installed.status()["coordinators"] if not one["leader"]]
    tool = str(Path(sys.executable).with_name("kubectl"))
    where = ("-n", installed.space, "port-forward", f"pod/{names[0]}", "17400:7400")
    for name in ("ca.crt", "tls.crt", "tls.key"):
        (tmp_path / name).write_text(installed.secret("cleancut-api", name))
    start("port-forward", tool, f"--kubeconfig={SUPERUSER}", *where)
    try:
        program = str(Path(sys.executable).with_name("cleancut"))
        files = [f"--ca={tmp_path / 'ca.crt'}", f"--cert={tmp_path / 'tls.crt'}"]
        command = (
            program,
            "--coordinator=localhost:17400",
            *files,
            f"--key={tmp_path / 'tls.key'}",
        )
        until(lambda: call(*command, "status"), "the forwarded port answers")
        number = call(*command, "-o", "name", "backup", "create", timeout_s=300).strip()
        assert installed.backup(number)["state"] == "COMMITTED"
    finally:
        stop("port-forward")


def test_wrong_keys_of_the_store_are_found(installed: World) -> None:
    """The doctor names them while they are wrong, and nothing once they are right again."""
    installed.whole()
    installed.keep_secret("backup-bucket", credentials=KEYS.replace("cleancutsecret", "wrong"))
    try:
        installed.kubectl("delete", "pod", "qdrant-1")

        def found() -> bool:
            said = json.loads(installed.ask("-o", "json", "doctor")[1])["findings"]
            kinds = {one["kind"] for one in said if one["severity"] == "error"}
            return bool(kinds & {"store_refused", "store_away"})

        until(found, "the doctor sees wrong keys", 400)
    finally:
        installed.keep_secret("backup-bucket", credentials=KEYS)
    installed.whole()
    installed.back_up()


def test_keys_of_the_store_are_rotated(installed: World) -> None:
    """Nothing restarts: the next backup after the Secret arrived is made with the new ones."""
    installed.whole()
    new = KEYS.replace("cleancutsecret", "cleancutsecret2").replace("= cleancut\n", "= cleancut2\n")
    installed.keep_secret("backup-bucket", credentials=new)

    def arrived() -> bool:
        pods = [f"pod/qdrant-{number}" for number in range(3)]
        show = ("-c", "cleancut-agent", "--", "python", "-c")
        code = "print(open('/etc/cleancut/store/credentials').read())"
        return all("cleancut2" in installed.kubectl("exec", one, *show, code) for one in pods)

    until(arrived, "the Secret is in the pods", 300)
    installed.back_up()
    installed.keep_secret("backup-bucket", credentials=KEYS)
