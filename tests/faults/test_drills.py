"""A few scenarios of the drill on each store: nothing twice, nothing lost, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet.chaos.stores import BACKENDS
from tests.fleet.chaos.theatre import Theatre

SEEDS = {
    "file": (0,),
    "redis": (1,),
    "redlock": (1,),
    "postgres-advisory": (2,),
    "postgres-lease": (1,),
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fleet_keeps_its_promises_whatever_befalls_it(backend: str, tmp_path: Path) -> None:
    with Theatre(backend, tmp_path) as theatre:
        for seed in SEEDS[backend]:
            result = theatre.play(seed)
            assert [*map(str, result.report.findings), *result.troubles] == []
            assert result.report.occurrences >= 60
            assert result.report.runs >= 30
