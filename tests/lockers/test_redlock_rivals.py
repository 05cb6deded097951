"""Rivals who ask several servers at once: one of them wins, whatever the network does to them.

The servers are simple ones in virtual time, so that thousands of races cost no waiting.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from random import Random

import pytest

from aiosched.errors import LockerUnavailable
from aiosched.lockers import _redis_script as script
from aiosched.lockers._redis_script import Granted
from aiosched.lockers._redlock_node import Node
from aiosched.lockers._redlock_store import RedlockStore
from aiosched.lockers._requests import Ask
from aiosched.model import Claim
from aiosched.moments import EPOCH
from aiosched.testing import VirtualLoop

CLAIM = Claim("key", EPOCH + timedelta(seconds=990))
PATIENCE = 0.5
TIMEOUT = 1.5


class Server:
    """Has one vote, and gives it to the first who asks."""

    def __init__(self):
        self.voted_for = None
        self.votes = Counter()

    def answer(self, operation):
        verb, *words = operation.arguments
        if verb == "ask":
            attempt = words[0]
            if self.voted_for in (None, attempt):
                self.voted_for = attempt
                self.votes[attempt] += 1
                return [script.GRANTED, CLAIM.due_us, 1, 1]
            return [script.RAN, self.voted_for.encode()]
        attempt = words[0]
        was_its = self.voted_for == attempt
        if verb == "undo" and was_its:
            self.voted_for = None
        return int(was_its)


class Path:
    """The way of one client to one server, which takes as long as it likes."""

    def __init__(self, server, random, slowest):
        self._server = server
        self._random = random
        self._slowest = slowest

    async def run(self, operations):
        await asyncio.sleep(self._random.uniform(0, self._slowest))
        raw = [self._server.answer(each) for each in operations]
        await asyncio.sleep(self._random.uniform(0, self._slowest))
        return [each.read(its, 0) for each, its in zip(operations, raw, strict=True)]


class Silence:
    """The way to a server that does not answer: waited for once, and then refused."""

    def __init__(self, timeout):
        self._timeout = timeout

    async def run(self, operations):
        timeout, self._timeout = self._timeout, 0
        await asyncio.sleep(timeout)
        raise LockerUnavailable("silent")


async def race(seed, servers, silent, rivals, slowest, *, timeout=0):
    """Return what the rivals got, and the servers."""
    random = Random(seed)
    answering = [Server() for _ in range(servers - silent)]

    async def ask(number):
        paths = [Path(each, random, slowest) for each in answering]
        silences = [Silence(timeout) for _ in range(silent)]
        store = RedlockStore([*map(Node, (*paths, *silences))], PATIENCE)
        await asyncio.sleep(random.uniform(0, slowest))
        future = asyncio.get_running_loop().create_future()
        name = f"{random.getrandbits(32):x}.{number}"
        (outcome,) = await store.perform([Ask(CLAIM, name, future)])
        return outcome

    return await asyncio.gather(*map(ask, range(rivals))), answering


@pytest.mark.parametrize(("servers", "silent"), [(3, 0), (3, 1), (5, 0), (5, 1), (5, 2)])
@pytest.mark.parametrize("rivals", [2, 3, 6])
@pytest.mark.parametrize("slowest", [0.001, 0.03, 0.3])
def test_one_of_those_who_ask_at_once_gets_it(servers, silent, rivals, slowest):
    without = []
    for seed in range(40):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            outcomes, answering = runner.run(race(seed, servers, silent, rivals, slowest))
        granted = [each for each in outcomes if isinstance(each, Granted)]
        assert len(granted) <= 1, seed
        if not granted:
            without.append(seed)
        else:
            held = Counter(each.voted_for for each in answering)
            assert max(held.values()) > servers // 2, seed
    assert without == []


def test_who_fell_silent_delays_nobody_but_for_one_timeout():
    async def timed(seed):
        outcomes, _ = await race(seed, 3, 1, 3, 0.03, timeout=TIMEOUT)
        assert sum(isinstance(each, Granted) for each in outcomes) == 1
        return asyncio.get_running_loop().time()

    for seed in range(40):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            assert runner.run(timed(seed)) < TIMEOUT + 2 * PATIENCE
