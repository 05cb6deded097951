"""Every example runs, and does what it says."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def run(*command: str, cwd: Path = EXAMPLES, warned: str = "") -> list[str]:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert warned in done.stderr if warned else not done.stderr
    return done.stdout.splitlines()


def test_quickstart_runs_until_it_is_interrupted() -> None:
    command = [sys.executable, "quickstart.py"]
    with subprocess.Popen(
        command, cwd=EXAMPLES, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "refreshed\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_gates_let_a_run_in_or_say_why_not() -> None:
    assert run("gates.py") == [
        "connected for __main__:vacuum",
        "disconnected",
        "__main__:vacuum succeeded",
        "__main__:vacuum refused: maintenance, __main__:vacuum has to wait",
    ]


def test_a_locker_of_ones_own_lets_one_replica_in() -> None:
    refused, succeeded = sorted(run("own_locker.py", warned="only excludes"))
    assert succeeded == "succeeded backed up"
    assert refused.startswith("refused Refusal(gate='lock', reason='held'")


def test_a_leader_does_it_alone_until_it_stops_and_another_goes_on() -> None:
    assert run("leader_election.py") == [
        "first leads",
        "first refreshes the catalogue",
        "first leads no longer",
        "second leads",
        "second refreshes the catalogue",
        "second leads no longer",
    ]


def test_a_service_of_job_groups_lists_all_jobs() -> None:
    listed = run("-m", "aiosched.cli", "list", "main:scheduler", cwd=EXAMPLES / "job_group")
    assert [line.split("\t")[0] for line in listed] == [
        "job",
        "billing.billing:send_invoices",
        "billing.billing:close_the_month",
        "mail.mail:fetch",
    ]


def test_the_fastapi_app_knows_its_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKS", str(tmp_path / "locks"))
    monkeypatch.syspath_prepend(EXAMPLES)
    module = importlib.import_module("fastapi_app")
    with TestClient(module.app) as client:
        jobs = client.get("/jobs").json()
    assert len(jobs) == 2
    assert all(jobs.values())
