"""Real lockers against the model: any order of claims, unlocks, deaths and passing time."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from aiosched.durations import SECOND
from aiosched.errors import LockError
from aiosched.lockers import FileLocker, MemoryLocker, _filestore, _sqlite
from aiosched.lockers._record import (
    BLANK,
    ExactSet,
    Grant,
    Question,
    decide,
    describe,
    is_forgotten,
    last_claimed,
    release,
)
from aiosched.model import Claim
from aiosched.moments import from_us
from tests.effort import examples

START = 1_800_000_000 * SECOND
KEYS = st.sampled_from(["", "b\0\ud800"])
CLIENTS = st.integers(0, 2)
# No lateness is above any retention, or an occurrence could rightly be granted afresh.
OPTIONS = st.fixed_dictionaries(
    {"late": st.sampled_from([3, 9]), "keep": st.sampled_from([10, 25])},
    optional={"exact": st.just(True), "redeliver": st.just(True)},
)
SHAPES = st.sampled_from([{}, {}, {}, {"exclusive": False, "redeliver": False}])
AGES = st.sampled_from([None, -1, 0, 1, 1, 2, 2, 3, 3, 4, 6])  # in steps of two seconds
STEP = 2 * SECOND


class Store:
    """The model: what a store must answer, whoever asks."""

    def __init__(self):
        self.now = START
        self.records = {}
        self.sets = {}
        self.living = set()  # attempts whose client lives
        self.count = 0

    def busy(self, record):
        return record.owner is not None and record.owner in self.living

    def claim(self, claim):
        self.count += 1
        attempt, record = f"model {self.count}", self.records.get(claim.key, BLANK)
        claimed = self.sets.setdefault(claim.key, ExactSet())
        answer = decide(record, Question(claim, attempt, self.now, self.busy(record), claimed))
        if isinstance(answer, Grant):
            claimed.apply(answer)
            self.records[claim.key] = answer.record
            if claim.exclusive:
                self.living.add(attempt)
        return attempt, answer

    def unlock(self, key, attempt, due, done):
        after = release(self.records[key], attempt, due, done=done)
        if after is None:
            return False
        self.records[key] = after
        return True

    def shown(self):
        return [
            describe(key, record, busy=self.busy(record))
            for key, record in sorted(self.records.items())
            if not is_forgotten(record, self.now, busy=self.busy(record))
        ]


class Client:
    """A process of its own, as the store sees it."""

    def __init__(self, locker):
        self.locker = locker
        self.loop = asyncio.new_event_loop()
        self.is_alive = True
        self.attempts = set()

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)


class Machine(RuleBasedStateMachine):
    """Three clients of one real store, and the model."""

    locks = Bundle("locks")

    @initialize()
    def begin(self):
        self.model = Store()
        self.fresh = set()  # (key, due) that were granted as a first attempt
        self.unlocked = set()
        self.make_store()
        self.clients = [Client(self.make_locker()) for _ in range(3)]

    @rule(
        target=locks,
        index=CLIENTS,
        key=KEYS,
        ages=st.lists(AGES, min_size=1, max_size=4),
        options=OPTIONS,
        shape=SHAPES,
    )
    def claim(self, index, key, ages, options, shape):
        """Claims of one loop turn: one transaction, each as if it were asked alone."""
        client, options = self.clients[index], {**options, **shape}
        claims = [Claim(key, self.moment(age), **options) for age in ages]
        expected = [self.model.claim(claim) for claim in claims]

        async def ask():
            asked = (client.locker.claim(claim) for claim in claims)
            return await asyncio.gather(*asked, return_exceptions=True)

        granted = []
        for claim, real, (attempt, answer) in zip(claims, client.run(ask()), expected, strict=True):
            self.compare(claim, real, answer)
            if isinstance(answer, Grant):
                client.attempts.add(attempt)
                granted.append((client, real, attempt if claim.exclusive else None))
        return multiple(*granted)

    def moment(self, age):
        """On a grid, so that the same occurrences are asked for again and again."""
        now = self.model.now
        return None if age is None else from_us(now - now % STEP - age * STEP)

    def compare(self, claim, real, answer):
        if isinstance(answer, LockError):
            assert (type(real), str(real)) == (type(answer), str(answer))
            assert vars(real) == vars(answer)
            return
        assert (real.due_us, real.fence, real.attempt) == (answer.due, answer.fence, answer.attempt)
        if answer.due is not None and answer.attempt == 1:
            assert (claim.key, answer.due) not in self.fresh
            self.fresh.add((claim.key, answer.due))

    @rule(held=locks, done=st.booleans())
    def unlock(self, held, done):
        client, lock, attempt = held
        if not client.is_alive:
            return
        is_first = lock.id not in self.unlocked
        self.unlocked.add(lock.id)
        if is_first and attempt is not None:
            assert self.model.unlock(lock.key, attempt, lock.due_us, done)
        assert client.run(lock.unlock(done=done)) is is_first

    @rule(seconds=st.sampled_from([0.000001, 0.5, 1, 1, 2, 2, 3, 9, 30]))
    def advance(self, seconds):
        self.model.now += round(seconds * SECOND)

    @rule(index=CLIENTS)
    def die(self, index):
        client = self.clients[index]
        client.is_alive = False
        self.kill(client)
        self.model.living -= client.attempts
        self.clients[index] = Client(self.make_locker())

    @rule(index=CLIENTS, key=KEYS)
    def look(self, index, key):
        record = self.model.records.get(key, BLANK)
        newest = last_claimed(record, self.model.now, busy=self.model.busy(record))
        client = self.clients[index]
        assert client.run(client.locker.last_claimed(key)) == newest

    @invariant()
    def shows_and_remembers_what_the_model_does(self):
        client, shown = self.clients[0], self.model.shown()
        assert client.run(client.locker.records()) == shown
        kept = {each.key for each in shown}
        sets = {(key, due) for key in kept for due in self.model.sets[key]._dues}
        assert {(key, due) for key, due in self.remembered() if key in kept} == sets

    def teardown(self):
        for client in getattr(self, "clients", ()):
            client.run(client.locker.aclose())
            client.loop.close()
        self.drop_store()


class MemoryMachine(Machine):
    def make_store(self):
        self.locker = MemoryLocker()
        self.locker.use_clock(self)

    def now(self):
        return self.model.now

    def monotonic(self):
        raise NotImplementedError

    def make_locker(self):
        return self.locker

    def remembered(self):
        return {(key, due) for key, dues in self.locker._exact.items() for due in dues._dues}

    def kill(self, client):
        client.loop.close()

    def drop_store(self):
        pass


class FileMachine(Machine):
    def make_store(self):
        self.path = Path(tempfile.mkdtemp())
        self.host_now, _filestore.host_now = _filestore.host_now, lambda: self.model.now

    def make_locker(self):
        return FileLocker(self.path)

    def remembered(self):
        with closing(sqlite3.connect(self.path / "locks.sqlite3")) as connection:
            rows = connection.execute("SELECT key, due FROM occurrence").fetchall()
        return {(_sqlite.unspelled(name), due) for name, due in rows}

    def kill(self, client):
        """What the kernel does for a dead process: the descriptors are closed, no more."""
        opened = client.locker._open
        if opened is not None:
            opened.store.before_fork()
            opened.store.after_fork_in_child()
        client.run(client.locker.aclose())
        client.loop.close()

    def drop_store(self):
        _filestore.host_now = self.host_now
        shutil.rmtree(self.path)


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(
    max_examples=examples(100),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
TestFileMachine = FileMachine.TestCase
TestFileMachine.settings = settings(
    max_examples=examples(40),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
