"""`cleancut agent values`, the chart's ConfigMap and the kustomize component are one thing."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
import yaml

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run as run_cleancut
from tests.chart.checks import faults
from tests.chart.programs import program_faults, sidecar_faults
from tests.chart.rendering import (
    CHART,
    HELMS,
    ROOT,
    VERSIONS,
    agent_values,
    objects,
    rendered,
    run,
    schema_faults,
    tool,
)

EXAMPLE = ROOT / "charts" / "kustomize" / "example"
CI = CHART / "ci"
SAME = {
    "tryout-values": (
        "--cluster demo --store file:///store agent values"
        " --etcd cc-cleancut-etcd.backup.svc:2379 --store-claim cleancut-store"
    ),
    "restricted-values": (
        "--cluster safe --store s3://backups/safe agent values --etcd etcd:2379 --restricted"
    ),
    "existing-secrets-values": (
        "--cluster prod"
        " --store s3://backups/qdrant?endpoint=https://minio.minio.svc:9000&path_style=1"
        " agent values --etcd etcd-a:2379,etcd-b:2379,etcd-c:2379 --etcd-secret etcd-client"
        " --api-key-secret qdrant-apikey:token --qdrant-secret qdrant-ca"
        " --qdrant-url https://$(POD_NAME).vectors-headless:6333"
        " --store-secret minio-credentials:aws --store-tls-secret minio-ca"
        " --extra-secret store-key --extra-arg --store-key-file=/etc/cleancut/extra/store-key"
    ),
    "everything-values": (
        "--cluster lab --store file:///srv/backups agent values --etcd etcd.example.com:2379"
        " --image registry.example.com/cleancut-agent:0.1.0 --store-claim shared"
        " --api-key-secret qdrant-apikey"
        " --extra-arg --log-level=debug --http-port 7411 --spill-size 20Gi --memory 2Gi"
    ),
}
"""Values of the chart, and the command line that means the same."""


def printed(words: str) -> str:
    """stdout of `cleancut WORDS`, which has to succeed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run_cleancut(words.split()) == Exit.OK
    return out.getvalue()


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("values", SAME)
def test_the_chart_renders_what_the_command_prints(helm: str, values: str) -> None:
    """To the last letter, comments too."""
    found = agent_values(rendered(helm, CI / f"{values}.yaml"))
    assert found == printed(SAME[values])
    assert "${" not in found
    assert "#for" not in found


@pytest.mark.parametrize("values", SAME)
def test_a_patch_is_the_same_agent(values: str) -> None:
    """Whatever the options: `--patch` only puts it elsewhere."""
    words = SAME[values].replace(" --restricted", "")
    snippet = yaml.safe_load(printed(words))
    pod = yaml.safe_load(printed(f"{words} --patch"))["spec"]["template"]["spec"]
    assert pod["containers"] == snippet["sidecarContainers"]
    assert pod["volumes"] == snippet["additionalVolumes"]


@pytest.mark.parametrize(
    "words",
    [
        "--cluster prod --store s3://b/x agent values --etcd e:1 --store-claim claim",
        "--cluster prod --store s3://b/x agent values --etcd e:1 --restricted --patch",
        "--cluster prod --store s3://b/x agent values --etcd e:1 --image a\"b",
        "--cluster prod --store ftp://b/x agent values --etcd e:1",
        "--cluster No! --store s3://b/x agent values --etcd e:1",
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(words: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert run_cleancut(words.split()) == Exit.USAGE
    assert out.getvalue() == ""


def test_kustomize_puts_the_agent_into_a_plain_statefulset(tmp_path: Path) -> None:
    """By the component as it is, and by a patch of one's own with every secret."""
    (tmp_path / "patch.yaml").write_text(printed(f"{SAME['existing-secrets-values']} --patch"))
    (tmp_path / "qdrant.yaml").write_text((EXAMPLE / "qdrant.yaml").read_text())
    own = {"resources": ["qdrant.yaml"], "patches": [{"path": "patch.yaml"}]}
    own["patches"][0]["target"] = {"kind": "StatefulSet"}  # type: ignore[index]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    for folder, secrets in ((EXAMPLE, 0), (tmp_path, 6)):
        ran = run(tool("kubectl"), "kustomize", str(folder))
        assert ran.code == 0, ran.err
        found = list(objects(ran.out))
        wrong = [*faults(found), *sidecar_faults(found)]
        wrong += [] if folder == EXAMPLE else program_faults(found)
        wrong += [f for one in found for version in VERSIONS for f in schema_faults(one, version)]
        assert wrong == []
        (pod,) = (one["spec"]["template"]["spec"] for one in found if one["kind"] == "StatefulSet")
        assert {one["name"] for one in pod["containers"]} == {"qdrant", "cleancut-agent"}
        assert sum("secret" in volume for volume in pod["volumes"]) == secrets


def test_the_components_settings_come_from_its_config_map() -> None:
    """Each `$(NAME)` of the arguments is in the example's map, whatever kustomize calls that."""
    found = objects(run(tool("kubectl"), "kustomize", str(EXAMPLE)).out)
    (settings,) = (one for one in found if one["kind"] == "ConfigMap")
    (pod,) = (one["spec"]["template"]["spec"] for one in found if one["kind"] == "StatefulSet")
    (agent,) = (one for one in pod["containers"] if one["name"] == "cleancut-agent")
    named = {arg.partition("$(")[2].rstrip(")") for arg in agent["args"] if "$(" in arg}
    assert named == set(settings["data"])
    (source,) = agent["envFrom"]
    assert source["configMapRef"] == {"name": settings["metadata"]["name"], "optional": True}
