"""Whatever happens to a fleet, no occurrence runs twice and none is lost, seed for seed.

``python -m tests.fleet.cluster --seeds 1000`` tries as many as one likes; a failing seed replays.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.effort import EFFORT, examples
from tests.fleet.cluster.scenario import play

pytestmark = pytest.mark.unmeasured

SHARES = 10
SEEDS = 1_000 if EFFORT > 1 else examples(300)


@pytest.mark.parametrize("share", range(SHARES))
def test_the_law_of_the_fleet_holds(share):
    explained = Counter()
    occurrences = runs = faults = 0
    for seed in range(share, SEEDS, SHARES):
        report = play(seed).report
        assert [f"seed {seed}: {finding}" for finding in report.findings] == []
        explained += report.explained
        occurrences += report.occurrences
        runs += report.runs
        faults += report.faults
    # Most of it must run, or the law would be kept by a fleet that does nothing.
    assert runs > 0.75 * occurrences
    assert faults
    assert explained.total() < 0.25 * occurrences
