"""What comes from others: pinned, audited, and nothing of it while tests run."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def workflow(name: str) -> dict[str, Any]:
    content = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))
    return content | {"on": content[True]}  # YAML 1.1 reads the key `on` as true


def steps_of(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def test_a_test_that_would_leave_this_machine_fails():
    for attempt in (
        lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
        lambda: socket.getaddrinfo("downloads.example.org", 443),
    ):
        with pytest.raises(pytest.fail.Exception, match="tests stay on this machine"):
            attempt()
    with pytest.raises(socket.gaierror):
        socket.create_connection(("elsewhere.invalid", 80))


def test_connections_on_this_machine_go_on():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_takes_actions_at_a_commit_and_gets_no_more_rights_than_it_names(path):
    steps = steps_of(path.stem)
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step)
    assert workflow(path.stem)["permissions"] in ({}, {"contents": "read"})
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_a_release_takes_nothing_from_a_cache_and_publishes_by_a_proof_in_place_of_a_token():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    release = workflow("release")
    assert not re.search(r"actions/cache|\bcache:|restore-keys|secrets\.|password|(?<!id-)token:", text)
    assert release["on"] == {"push": {"tags": ["v*"]}}
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert release["jobs"]["build"]["permissions"] == {"contents": "read"}
    assert release["jobs"]["publish"]["needs"] == "build" and "cmp dist/*.whl again/*.whl" in text
    assert any("install.py sbom > " in step.get("run", "") for step in release["jobs"]["build"]["steps"])


def test_the_list_of_what_a_release_depends_on_is_cyclonedx_and_has_every_pin_with_its_hashes():
    from cyclonedx.model.bom import Bom

    from modiste import install

    document = install.bill_of_materials()
    components = {(part.name, part.version): part for part in Bom.from_json(document).components}
    pins = [*install.torch_pins(), *install.locked_pins(install.RUNTIME_LOCK)]
    assert set(components) == {tuple(pin.partition(" ;")[0].strip().split("==")) for pin in pins}
    hashes = {
        hashed.content for part in components.values() for file in part.external_references for hashed in file.hashes
    }
    assert hashes == set(re.findall(r"sha256:([0-9a-f]{64})", install.RUNTIME_LOCK.read_text(encoding="utf-8")))
    assert str(components["torch", "2.13.0"].purl) == "pkg:pypi/torch@2.13.0"


@pytest.mark.skipif(sys.platform == "win32", reason="no pipe through bash")
def test_a_reader_of_the_bill_of_materials_may_leave_before_its_end():
    words = f"set -o pipefail; {shlex.quote(sys.executable)} install.py sbom | head -1"
    done = subprocess.run(["bash", "-c", words], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")


def test_the_audit_runs_every_week_and_the_tests_on_every_system_and_python_that_is_named():
    assert workflow("audit")["on"]["schedule"]
    assert any(step.get("run") == "python install.py audit" for step in steps_of("audit"))
    jobs = workflow("tests")["jobs"]
    pythons = ["3.10", "3.11", "3.12", "3.13"]
    assert jobs["linux"]["strategy"]["matrix"]["python"] == pythons
    assert jobs["windows-and-macos"]["strategy"]["matrix"] == {
        "os": ["windows-latest", "macos-latest"],
        "python": pythons,
    }
    assert any(step.get("run") == "bash .ci/run" for step in jobs["linux"]["steps"])


def test_the_lock_is_kept_fresh():
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    assert {(update["package-ecosystem"], update["directory"]) for update in updates} == {
        ("pip", "/requirements"),
        ("github-actions", "/"),
    }
