"""The simulator finds what is wrong with stores and lockers that were broken on purpose."""

from __future__ import annotations

import pytest

from tests.fleet.cluster import broken
from tests.fleet.cluster.network import Weather
from tests.fleet.cluster.scenario import USUAL, Setting, play

FEW = 60
SLOW = Weather(slow=(0.6, 1.9))
BROKEN = {
    "no owner check at unlock": (Setting(store=broken.NoOwnerCheck), "overlap"),
    "no memory of claims": (Setting(store=broken.NoClaimMemory), "double"),
    "an expired lease is honoured": (Setting(locker=broken.FaithfulLocker), "overlap"),
    "a late renewal counts from its answer": (
        Setting(locker=broken.LateLocker, kinds=("weather",), faults=60, weather=SLOW),
        "overlap",
    ),
    "no quarantine after a loss of memory": (
        Setting(trusting=True, forgets=True, kinds=("store",), faults=6),
        "double",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_it_finds(what):
    setting, kind = BROKEN[what]
    assert any(play(seed, setting).report.count(kind) for seed in range(FEW))


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param(
            Setting(kinds=("weather",), faults=60, weather=SLOW, locker=broken.PatientLocker),
            id="slow answers and much patience",
        ),
        pytest.param(Setting(forgets=True, kinds=("store",), faults=6), id="quarantine"),
        pytest.param(USUAL, id="all there is"),
    ],
)
def test_where_nothing_is_broken_it_finds_nothing(setting):
    for seed in range(5):
        assert [str(finding) for finding in play(seed, setting).report.findings] == []
