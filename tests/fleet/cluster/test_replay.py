"""A seed is a history, byte for byte: here, again, and in another process with other hashes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet.cluster.scenario import play

pytestmark = pytest.mark.unmeasured

ROOT = Path(__file__).parents[3]
SEEDS = (3, 7, 11)
DIGESTS = "from tests.fleet.cluster.scenario import play; print(*[play(s).digest() for s in {}])"


def test_a_seed_has_the_same_history_each_time():
    for seed in SEEDS[:2]:
        first, second = play(seed).lines(), play(seed).lines()
        assert first.count("\n") > 200
        assert first == second


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_a_seed_has_the_same_history_in_another_process_with_other_hashes(hash_seed):
    # In another order, too: what one scenario leaves behind must not matter to the next.
    seeds = SEEDS[::-1]
    told = subprocess.run(
        [sys.executable, "-c", DIGESTS.format(seeds)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert told.stdout.split() == [play(seed).digest() for seed in seeds]


def test_another_seed_has_another_history():
    assert len({play(seed).digest() for seed in SEEDS}) == len(SEEDS)
