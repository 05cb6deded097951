"""The wheel holds against a sorted list, under any interleaving."""

from __future__ import annotations

import gc
import random
from itertools import count

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aiosched._engine import wheel as wheel_module
from aiosched._engine.slots import Bucket, Rung
from aiosched._engine.wheel import IDLE, Instants, Ladder, Wheel
from tests.effort import examples

BOTH = pytest.mark.parametrize("kind", [Instants, Ladder])
SECOND = 1_000_000


class Entry:
    __slots__ = ("_at", "name")

    def __init__(self, name=""):
        self._at = IDLE
        self.name = name

    def __repr__(self):
        return f"<{self.name} at {self._at}>"


class TinyLadder(Ladder):
    """Slots of 64, 8 and 1 microseconds, so that random moments meet in all of them."""

    __slots__ = ()
    _SHIFTS = (6, 3, 0)


def entries(number):
    return [Entry(str(index)) for index in range(number)]


def take(wheel, now):
    return list(wheel.due(now))


# -- the law ---------------------------------------------------------------------------------------

WHO = st.integers(0, 11)
BASES = [0, 1, 8, 64, 1 << 14, (1 << 20) + 5, 1 << 26, 3 << 26, 10**15, -(10**9), -3]
FAR = st.builds(int.__add__, st.sampled_from(BASES), st.integers(-70, 70)).filter(IDLE.__ne__)
NEAR = st.integers(0, 12)
AT = st.one_of(NEAR, NEAR, FAR)
ADD = st.tuples(st.just("add"), WHO, AT)
DISCARD = st.tuples(st.just("discard"), WHO)
LOOK = st.tuples(st.just("look"))
SMALL = st.one_of(ADD, ADD, DISCARD, LOOK)
INNER = st.tuples(st.just("due"), AT, st.integers(0, 5), st.lists(SMALL, max_size=4))
DUE = st.tuples(
    st.just("due"), AT, st.integers(0, 20), st.lists(st.one_of(SMALL, SMALL, INNER), max_size=12)
)
PROGRAM = st.lists(st.one_of(ADD, ADD, ADD, DISCARD, LOOK, DUE), max_size=60)


class Oracle:
    """A wheel and what a sorted list says that it must do."""

    def __init__(self, wheel):
        self.wheel = wheel
        self.jobs = entries(12)
        self.planned = {}
        self.came = count()

    def play(self, program):
        for act, *arguments in program:
            getattr(self, act)(*arguments)
            assert len(self.wheel) == len(self.planned)

    def add(self, who, at):
        job = self.jobs[who]
        self.wheel.add(job, at)
        self.planned[job] = (at, next(self.came))
        assert job._at == at

    def discard(self, who):
        job = self.jobs[who]
        self.wheel.discard(job)
        self.planned.pop(job, None)
        assert job._at == IDLE

    def look(self):
        earliest = min(self.planned.values(), default=(None,))[0]
        assert self.wheel.next_at() == earliest

    def due(self, now, limit, between):
        between = iter(between)
        for job in self.wheel.due(now):
            assert self.first() is job
            assert self.planned.pop(job)[0] <= now
            assert job._at == IDLE
            limit -= 1
            if limit < 0:
                return
            act = next(between, None)
            if act is not None:
                self.play([act])
        assert all(at > now for at, _ in self.planned.values())

    def first(self):
        return min(self.planned, key=self.planned.__getitem__)

    def finish(self):
        wheel = self.wheel
        assert set(wheel.entries()) == set(self.planned)
        assert all(job._at == self.planned[job][0] for job in self.planned)
        assert take(wheel, 10**18) == sorted(self.planned, key=self.planned.__getitem__)
        assert len(wheel) == 0
        assert wheel.next_at() is None
        assert not wheel._root  # no rung is left behind


@pytest.mark.parametrize("kind", [Instants, Ladder, TinyLadder])
@pytest.mark.parametrize("large", [3, 1024])
@given(program=PROGRAM)
@settings(max_examples=examples(150), deadline=None)
@example(program=[("add", 0, 0), ("add", 1, 64), ("due", 9, 20, [])])
@example(program=[("add", 0, 5), ("add", 1, 5), ("discard", 0), ("add", 0, 5)])
@example(program=[("add", 0, 5), ("add", 1, 5), ("due", 5, 20, [("add", 2, 4), ("add", 0, 5)])])
def test_a_wheel_does_what_a_sorted_list_does(kind, large, program):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wheel_module, "_LARGE", large)
        oracle = Oracle(kind())
        oracle.play(program)
        oracle.finish()


@pytest.mark.parametrize("kind", [Instants, Ladder])
@pytest.mark.parametrize("span", [1, 3000, SECOND, 3600 * SECOND])
def test_thousands_come_out_in_order_however_dense(kind, span):
    rng = random.Random(span)
    wheel, jobs = kind(), entries(5000)
    planned = {job: (10**15 + rng.randrange(span), rank) for rank, job in enumerate(jobs)}
    for job, (at, _) in planned.items():
        wheel.add(job, at)
    assert take(wheel, 10**16) == sorted(jobs, key=planned.__getitem__)


def test_thousands_of_intervals_keep_their_cadence():
    rng = random.Random(7)
    wheel, jobs = Ladder(), entries(3000)
    interval = {job: rng.choice([10_000, 250_000, SECOND]) for job in jobs}
    due = {job: rng.randrange(SECOND) for job in jobs}
    for job in jobs:
        wheel.add(job, due[job])
    fired = dict.fromkeys(jobs, 0)
    for now in range(0, 2 * SECOND, 7_000):
        last = -1
        for job in wheel.due(now):
            assert last <= due[job] <= now
            last = due[job]
            fired[job] += 1
            due[job] += interval[job]
            wheel.add(job, due[job])
        assert wheel.next_at() == min(due.values())
    for job in jobs:
        start = due[job] - fired[job] * interval[job]
        assert fired[job] == (now - start) // interval[job] + 1


# -- adding and taking out -------------------------------------------------------------------------


@BOTH
def test_nothing_is_due_early(kind):
    wheel, (job,) = kind(), entries(1)
    wheel.add(job, 1000)
    assert take(wheel, 999) == []
    assert take(wheel, 1000) == [job]


@BOTH
def test_entries_of_one_moment_come_in_the_order_of_their_adding(kind):
    wheel, jobs = kind(), entries(100)
    for job in jobs:
        wheel.add(job, 7)
    assert take(wheel, 7) == jobs


@BOTH
def test_an_entry_that_is_added_again_moves(kind):
    wheel, (job,) = kind(), entries(1)
    wheel.add(job, 10)
    wheel.add(job, 20)
    assert len(wheel) == 1
    assert take(wheel, 19) == []
    assert take(wheel, 20) == [job]


@BOTH
def test_an_entry_that_left_and_comes_back_is_the_last_of_its_moment(kind):
    wheel, (first, second, third) = kind(), entries(3)
    for job in (first, second, third):
        wheel.add(job, 10)
    wheel.add(first, 99)
    wheel.add(first, 10)
    assert take(wheel, 10) == [second, third, first]


@BOTH
def test_discarding_an_idle_entry_does_nothing(kind):
    wheel, (job,) = kind(), entries(1)
    wheel.discard(job)
    assert len(wheel) == 0
    assert wheel.next_at() is None


@BOTH
def test_the_next_moment_is_that_of_the_earliest_entry_that_is_still_in(kind):
    wheel, (early, late) = kind(), entries(2)
    wheel.add(early, 5 * SECOND)
    wheel.add(late, 6 * SECOND)
    wheel.discard(early)
    assert wheel.next_at() == 6 * SECOND


@BOTH
def test_looking_at_the_next_moment_takes_nothing_out(kind):
    wheel, jobs = kind(), entries(50)
    for rank, job in enumerate(jobs):
        wheel.add(job, rank * SECOND)
    assert [wheel.next_at() for _ in range(3)] == [0, 0, 0]
    assert take(wheel, 50 * SECOND) == jobs


@BOTH
def test_a_moment_before_the_epoch_is_a_moment(kind):
    wheel, (older, newer) = kind(), entries(2)
    wheel.add(newer, -2)
    wheel.add(older, -(10**12))
    assert wheel.next_at() == -(10**12)
    assert take(wheel, 0) == [older, newer]


@BOTH
def test_all_entries_are_listed_whatever_their_slots_are(kind):
    wheel, jobs = kind(), entries(40)
    for rank, job in enumerate(jobs):
        wheel.add(job, rank // 4 * 300_000)
    wheel.discard(jobs[9])
    wheel.next_at()
    assert set(wheel.entries()) == set(jobs) - {jobs[9]}


# -- while it is handed out ------------------------------------------------------------------------


@BOTH
def test_who_stops_early_gets_the_rest_next_time(kind):
    wheel, jobs = kind(), entries(10)
    for job in jobs:
        wheel.add(job, 5)
    batch = wheel.due(5)
    assert [next(batch) for _ in range(4)] == jobs[:4]
    batch.close()
    assert take(wheel, 5) == jobs[4:]


@BOTH
def test_an_entry_is_idle_when_it_comes(kind):
    wheel, (job, other) = kind(), entries(2)
    wheel.add(job, 5)
    wheel.add(other, 5)
    next(wheel.due(5))
    assert job._at == IDLE
    assert len(wheel) == 1


@BOTH
@pytest.mark.parametrize("at", [5, 4, -1000], ids=["same moment", "just before", "long before"])
def test_what_is_added_while_a_batch_is_handed_out_belongs_to_it_if_it_is_due(kind, at):
    wheel, (first, second, new) = kind(), entries(3)
    wheel.add(first, 5)
    wheel.add(second, 5)
    batch = wheel.due(5)
    assert next(batch) is first
    wheel.add(new, at)
    assert list(batch) == ([second, new] if at == 5 else [new, second])


@BOTH
@pytest.mark.parametrize("at", [998, 1000, -1000])
def test_what_is_added_between_two_moments_that_are_due_comes_between_them(kind, at):
    wheel, (first, second, new) = kind(), entries(3)
    wheel.add(first, 999)
    wheel.add(second, 1001)
    batch = wheel.due(2000)
    assert next(batch) is first
    wheel.add(new, at)
    assert list(batch) == [new, second]


@BOTH
def test_many_that_are_added_to_the_moment_of_a_batch_keep_their_order(kind):
    wheel, jobs = kind(), entries(9)
    for job in jobs[:3]:
        wheel.add(job, 5)
    batch = wheel.due(5)
    assert next(batch) is jobs[0]
    for job in jobs[3:]:
        wheel.add(job, 5)
    wheel.discard(jobs[6])
    assert list(batch) == [*jobs[1:6], *jobs[7:]]


@BOTH
def test_what_is_discarded_while_a_batch_is_handed_out_does_not_come(kind):
    wheel, jobs = kind(), entries(6)
    for job in jobs:
        wheel.add(job, 5)
    batch = wheel.due(5)
    next(batch)
    for job in jobs[1:4]:
        wheel.discard(job)
    assert list(batch) == jobs[4:]


@BOTH
def test_a_batch_of_which_all_others_are_discarded_ends(kind):
    wheel, jobs = kind(), entries(3)
    for job in jobs:
        wheel.add(job, 5)
    batch = wheel.due(5)
    next(batch)
    wheel.discard(jobs[2])
    wheel.discard(jobs[1])
    assert list(batch) == []
    assert wheel.next_at() is None


@BOTH
def test_an_entry_that_is_added_to_its_own_moment_comes_again(kind):
    wheel, (job, other) = kind(), entries(2)
    wheel.add(job, 5)
    wheel.add(other, 5)
    batch = wheel.due(5)
    assert next(batch) is job
    wheel.add(job, 5)
    assert next(batch) is other
    assert next(batch) is job
    assert next(batch, None) is None


@BOTH
def test_two_takers_share_without_a_double(kind):
    wheel, jobs = kind(), entries(8)
    for rank, job in enumerate(jobs):
        wheel.add(job, rank // 3)
    one, two = wheel.due(9), wheel.due(9)
    assert [next(taker) for taker in (one, two) * 4] == jobs
    assert list(one) == list(two) == []


# -- what it costs ---------------------------------------------------------------------------------


def references(slots):
    """Count what a wheel keeps, dead or alive."""
    total = len(slots.order)
    for slot in slots.values():
        if isinstance(slot, Rung):
            total += references(slot)
        elif isinstance(slot, Bucket):
            total += len(slot.rest) + len(slot.gone) + len(slot._late)
        else:
            total += len(slot) if isinstance(slot, list) else 1
    return total


def crowds(slots):
    """Yield how many are in each slot that is shared."""
    for slot in slots.values():
        if isinstance(slot, Rung):
            yield from crowds(slot)
        elif isinstance(slot, list):
            yield len(slot)


@BOTH
@pytest.mark.parametrize("far", [1, 3, 10_000, 10**12], ids="{} slots".format)
def test_endless_pausing_and_resuming_keeps_nothing(kind, far):
    rng = random.Random(far)
    wheel, jobs = kind(), entries(200)
    for _ in range(20_000):
        job = rng.choice(jobs)
        wheel.discard(job)
        if rng.random() < 0.9:
            wheel.add(job, 10**9 + rng.randrange(far))
        if rng.random() < 0.1:
            wheel.next_at()
    assert references(wheel._root) < 8 * len(jobs)


@BOTH
def test_a_crowd_that_everybody_leaves_is_forgotten_on_the_way(kind):
    wheel, jobs = kind(), entries(1000)
    for job in jobs:
        wheel.add(job, 5)
    for job in jobs[100:]:
        wheel.discard(job)
    assert references(wheel._root) < 400
    assert take(wheel, 5) == jobs[:100]


def test_no_slot_but_a_single_microsecond_holds_more_than_is_sorted_in_a_moment():
    wheel, jobs = Ladder(), entries(20_000)
    for rank, job in enumerate(jobs):
        wheel.add(job, 10**12 + rank * 10)
    assert max(crowds(wheel._root)) <= wheel_module._LARGE


@pytest.mark.parametrize("far", [SECOND, 60 * SECOND, 3600 * SECOND])
def test_a_crowd_gives_the_collector_next_to_nothing_to_trace(far):
    rng = random.Random(far)
    wheel, jobs = Ladder(), entries(20_000)
    gc.collect()
    before = len(gc.get_objects())
    for job in jobs:
        wheel.add(job, 10**12 + rng.randrange(far))
    assert len(gc.get_objects()) - before < 2_000


def test_both_kinds_are_wheels():
    assert issubclass(Instants, Wheel)
    assert issubclass(Ladder, Wheel)
