"""A drill on each store finds nothing; a locker that is broken on purpose is found out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fleet.chaos.broken import BROKEN
from tests.fleet.chaos.plan import Fault, Plan
from tests.fleet.chaos.stores import BACKENDS
from tests.fleet.chaos.theatre import Theatre

ROOT = Path(__file__).parents[2]
TRIES = 5
SEEDS = {"file": 0, "redis": 3, "redlock": 3, "postgres-advisory": 2, "postgres-lease": 1}


@pytest.fixture(scope="module")
def drills(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """One on each store, side by side: most of the time they wait."""
    keep = tmp_path_factory.mktemp("histories")
    with ExitStack() as stack:
        yield {name: stack.enter_context(drill(name, keep)) for name in BACKENDS}


def drill(backend: str, keep: Path) -> subprocess.Popen[str]:
    words = f"-m tests.fleet.chaos --backend {backend} --seed {SEEDS[backend]} --keep {keep}"
    return subprocess.Popen(
        [sys.executable, *words.split()],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fleet_keeps_its_promises_whatever_befalls_it(
    backend: str, drills: dict[str, subprocess.Popen[str]]
) -> None:
    said, _ = drills[backend].communicate(timeout=100)
    assert f"{backend}: scenarios 1 " in said
    assert drills[backend].returncode == 0, said


def stopping(plan: Plan) -> Plan:
    """Stop most workers in the middle of a long run, twice, and for longer than the TTL."""
    rounds = ((0.45, (0, 1, 2)), (2.75, (1, 2, 3)))
    faults = [Fault(at, "stop", each, 1.6) for at, workers in rounds for each in workers]
    jobs = tuple(
        replace(job, delivery="at_least_once") if job.name == "long" else job for job in plan.jobs
    )
    return replace(plan, jobs=jobs, skews=(0.0, 0.02, 0.04, 0.06), faults=tuple(faults))


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_locker_is_found_out(broken: str, tmp_path: Path) -> None:
    with Theatre("redis", tmp_path, broken) as theatre:
        # On a busy machine a worker may have no turn just when it would do wrong.
        for seed in range(TRIES):
            result = theatre.play(seed, stopping)
            kinds = {finding.kind for finding in result.report.findings}
            if FOUND[broken] in kinds:
                break
        assert FOUND[broken] in kinds
        assert result.kept is not None
        assert result.kept.exists()


FOUND = {"no-claim": "double", "no-owner": "overlap", "expired": "overlap"}
