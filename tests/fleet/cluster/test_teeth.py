"""The simulator finds what is wrong with stores and lockers that were broken on purpose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiosched.durations import SECOND
from tests.fleet.cluster import broken
from tests.fleet.cluster.network import Weather
from tests.fleet.cluster.replica import NotingLocker, Task
from tests.fleet.cluster.scenario import Setting, play
from tests.fleet.cluster.store import SimStore

pytestmark = pytest.mark.unmeasured

FEW = 30
SLOW = Weather(slow=(0.6, 1.9))
# Runs that are longer than a lease, one after the other, with all the others waiting for each.
WANTED = tuple(
    Task(f"wanted {number}", 5 * SECOND, {"delivery": "at_least_once"}, (4.0, 4.5, 4.9))
    for number in range(6)
)
BROKEN = {
    "no owner check at unlock": (
        Setting(store=broken.NoOwnerCheck, kinds=("pause",), faults=25, tasks=WANTED),
        "overlap",
    ),
    "no memory of claims": (Setting(store=broken.NoClaimMemory), "double"),
    "an expired lease is honoured": (
        Setting(locker=broken.FaithfulLocker, kinds=("cut", "suspend"), faults=25, tasks=WANTED),
        "overlap",
    ),
    "a late renewal counts from its answer": (
        Setting(
            locker=broken.LateLocker,
            kinds=("weather",),
            faults=60,
            weather=SLOW,
            tasks=WANTED,
        ),
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


@pytest.mark.parametrize("what", BROKEN)
def test_in_the_same_troubles_it_finds_nothing_where_nothing_is_broken(what):
    setting, _ = BROKEN[what]
    patient = setting.locker is broken.LateLocker
    locker = broken.PatientLocker if patient else NotingLocker
    sound = replace(setting, store=SimStore, locker=locker, trusting=False)
    for seed in range(4):
        assert [str(finding) for finding in play(seed, sound).report.findings] == []
