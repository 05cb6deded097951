"""Every pattern of distributed locking runs, and shows what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

ROOT = Path(__file__).parents[2]
LOCKING = ROOT / "examples" / "locking"
PAGE = ROOT / "docs" / "locking-patterns.md"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"file:{tmp_path}/locks"


def run(name: str, *arguments: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, f"{name}.py", *arguments],
        cwd=LOCKING,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def once_each(lines: list[str], pattern: str) -> list[str]:
    """Return what *pattern* finds in *lines*: something, and nothing of it twice."""
    found = [match[1] for line in lines if (match := re.match(pattern, line))]
    assert found
    assert len(found) == len(set(found)), found
    return found


def test_a_schedulers_locker_lets_one_of_three_replicas_run_each_occurrence(store: str) -> None:
    lines = run("scheduler_locker", store)
    once_each(lines, r"([\d:.]+) ran on [abc], fence \d+$")
    fences = [int(line.rpartition(" ")[2]) for line in lines]
    assert fences == sorted(fences)


def test_a_jobs_own_locker_is_asked_instead_of_the_schedulers(store: str) -> None:
    assert run("job_locker", store) == [
        "host was asked for rotate-logs",
        "rotate-logs succeeded",
        "company was asked for send-invoices",
        "send-invoices succeeded",
    ]


def test_a_job_without_a_locker_runs_on_every_replica(store: str) -> None:
    lines = run("local_only", store)
    once_each(lines, r"report of ([\d:.]+) on [ab]$")
    refreshed = Counter(line for line in lines if line.startswith("cache"))
    assert set(refreshed) == {"cache refreshed on a", "cache refreshed on b"}


def test_redis_decides_by_its_own_clock(redis_server: RedisServer) -> None:
    lines = run("redis_basic", REDIS=redis_server.url)
    once_each(lines, r"([\d:.]+) ran on (?:right|fast), in time$")
    assert not [line for line in lines if "early" in line]


def test_a_run_longer_than_the_ttl_keeps_its_lock(redis_server: RedisServer) -> None:
    refused, ended = run("redis_renewal", REDIS=redis_server.url)
    found = re.fullmatch(r"refused for ([\d.]+) TTL, (\d+) times", refused)
    assert found is not None
    assert float(found[1]) > 1.5
    assert ended == "the run succeeded"


def test_an_advisory_locks_end_is_its_sessions(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    held, ended, free = run("postgres_advisory", POSTGRES=postgres_server.dsn(postgres_database))
    assert held == "held by the run"
    assert ended == "the run failed: LockLost"
    found = re.fullmatch(r"free after ([\d.]+) s, with a TTL of 30 s", free)
    assert found is not None
    assert float(found[1]) < 30


@pytest.mark.parametrize("down", [0, 1])
def test_redlock_goes_on_with_most_of_its_servers(
    down: int, five_redis_servers: list[RedisServer]
) -> None:
    servers = five_redis_servers[:3]
    for server in servers[:down]:
        server.stop()
    lines = run("redlock", REDLOCK=",".join(server.url for server in servers))
    once_each(lines, r"([\d:.]+) ran on [ab]$")


def test_a_monitored_locker_tells_of_grants_and_refusals(store: str) -> None:
    *counted, slowest = run("monitoring", store)
    kinds = {line.partition(" × ")[2] for line in counted}
    assert {"report granted", "report AlreadyRan"} <= kinds
    assert re.fullmatch(r"slowest answer [\d.]+ ms", slowest)


def test_tenants_have_keys_of_their_own(store: str) -> None:
    lines = run("tenant_keys", store)
    assert lines[0:2] == [
        "invoices-acme: invoices of acme sent",
        "invoices-globex: invoices of globex sent",
    ]
    assert lines[4:] == [
        f"in the store: {key}"
        for key in ("invoices-acme", "invoices-globex", "acme:back-up", "globex:back-up")
    ]


def test_names_that_differ_between_processes_are_refused() -> None:
    unnamed, main, first, second = run("stable_names")
    assert unnamed.startswith("refused: name must be given with a locker")
    assert main.startswith("refused: name must be given with a locker for '__main__:report'")
    assert first == "shop.report has the key shop.report"
    assert second == "shop.report.v2 has the key shop.report"


def test_a_listener_tells_refusals_apart() -> None:
    lines = run("failure_listener")
    assert "quick, already_ran: as usual: another replica ran it" in lines
    assert "slow, held: look into it: the run before is not over" in lines
    assert "lost, unavailable: alert: the store cannot be asked" in lines


def test_replicas_agree_on_the_moments_whenever_they_start(store: str) -> None:
    lines = run("aligned_start", store)
    aligned = once_each(lines, r"aligned ([\d:.]+) on [ab]$")
    assert all(moment.endswith(".000000") for moment in aligned)
    later = once_each(lines, r"later ([+\d.]+) s from start_at on [ab]$")
    assert all(float(since) == int(float(since)) >= 0 for since in later)


def test_the_page_of_patterns_leads_to_each_of_them() -> None:
    linked = re.findall(r"\]\(\.\./examples/locking/(\w+)\.py\)", PAGE.read_text())
    assert sorted(linked) == sorted(path.stem for path in LOCKING.glob("*.py"))
