"""When which entry is due: a sparse timing wheel, pure arithmetic on integers of microseconds.

Time is cut into slots that exist only while somebody is in them. A slot that has grown large, or
whose turn it is, is split into finer slots, down to single microseconds, where the entries wait in
the order in which they came. So there are few slots far away, at 8 bytes an entry, and exact moments
nearby; nothing is sorted but the starts of the slots, in a heap. No slot has a container for each of
its entries, so that a million of them give the garbage collector only some lists to trace.

These are the rungs of the ladder queue (Tang, Goh and Thng, "Ladder queue: an O(1) priority queue
structure for large-scale discrete event simulation", ACM TOMACS 15(3), 2005), made wherever entries
crowd instead of in front only.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from aiosched._engine.slots import Bucket, Rung

IDLE: Final = -1
"""The `_at` of an entry that is in no wheel. Every other integer is a moment, this one is none."""

_LARGE: Final = 1024  # entries; to move so many takes some 0.3 ms
_SLACK: Final = 64  # dead starts that are not worth a look


class Entry(Protocol):
    """What can be put into a wheel, and into one wheel at a time. It is hashed by identity."""

    _at: int
    """Its moment in the wheel, else `IDLE`. Only the wheel writes it."""


E = TypeVar("E", bound=Entry)


class Wheel(Generic[E]):
    """Entries by the moment at which they are due, earliest first, then in the order of `add`.

    Every step is O(1) but for the heap of the slots' starts, and none takes longer than splitting a
    slot. Which clock the moments are on is the caller's business.
    """

    __slots__ = ("_leaves", "_live", "_root", "_starts")

    _SHIFTS: ClassVar[tuple[int, ...]]
    """The widths of slots from coarse to fine, as powers of two; the last is 0."""

    def __init__(self) -> None:
        self._root = Rung()
        self._starts: list[int] = []  # a heap: of each leaf the start, and dead ones
        self._leaves = 0  # slots that are not split: one entry, a list or a bucket
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def add(self, entry: E, at: int) -> None:
        """Make *entry* due at *at*, behind those of that moment; one that is in is moved."""
        if entry._at != IDLE:
            self.discard(entry)
        entry._at = at
        self._live += 1
        slots = self._root
        for shift in self._SHIFTS:  # `_find`, without the call
            slot = slots.get(key := at >> shift)
            if (kind := type(slot)) is not Rung:
                break
            slots = slot
        if kind is list or kind is Bucket:
            slot.append(entry)
            if len(slot) > _LARGE and shift:
                self._split(slots, key, shift)
        elif slot is None:
            slots[key] = entry
            self._leaves += 1
            heappush(self._starts, key << shift)
        else:
            slots[key] = [slot, entry]

    def discard(self, entry: E) -> None:
        """Take *entry* out, if it is in."""
        if entry._at == IDLE:
            return
        slots, key, shift, slot = self._find(entry._at)
        entry._at = IDLE
        self._live -= 1
        if slot is entry:
            return self._drop(slots, key, shift)
        if type(slot) is list:
            slot = slots[key] = Bucket(slot)
        slot.remove(entry)
        return None if slot else self._drop(slots, key, shift)

    def next_at(self) -> int | None:
        """Return the earliest moment at which an entry is due, None without entries."""
        head = self._head()
        return None if head is None else head[0]

    def due(self, now: int) -> Iterator[E]:
        """Take out, one by one, who is due at *now* or before; each is idle when it comes.

        In between anything may be added and discarded, and counts at once. Whoever stops early
        loses nothing: the rest is still in.
        """
        while (head := self._head()) is not None and head[0] <= now:
            at, slots, key, shift, slot = head
            kind = type(slot)
            if kind is list or kind is Bucket:
                yield from self._take_crowd(slots, at)
            elif shift:
                self._drop(slots, key, shift)
                self._live -= 1
                slot._at = IDLE
                yield slot
            else:
                yield from self._take_singles(slots, now)

    def entries(self) -> Iterator[E]:
        """Yield who is in, in no order. Nothing may be added or discarded meanwhile."""
        for _, slot in self._walk(self._root):
            if type(slot) is list or type(slot) is Bucket:
                yield from slot
            else:
                yield slot

    # -- taking out -----------------------------------------------------------------------------
    # After each `yield` the world may be another one: what was looked up before is stale, or it is
    # proven by the first start, or it is a slot that was emptied and so gives nothing more.

    def _take_crowd(self, slots: Rung, at: int) -> Iterator[E]:
        """Take out the entries of the microsecond *at* as long as it is the first."""
        crowd = slots[at]
        bucket = slots[at] = Bucket(crowd) if type(crowd) is list else crowd
        rest, gone, starts = bucket.rest, bucket.gone, self._starts
        while rest and starts[0] == at:
            entry: E = rest.pop()
            if (gone or not rest) and not bucket.settle():
                self._drop(slots, at, 0)
            self._live -= 1
            entry._at = IDLE
            yield entry

    def _take_singles(self, slots: Rung, now: int) -> Iterator[E]:
        """Take out entries that are alone in their microsecond, as long as they are in *slots*."""
        starts = self._starts
        while starts and (at := starts[0]) <= now:
            entry = slots.get(at)
            kind = type(entry)
            if entry is None or kind is list or kind is Bucket:
                return
            del slots[at]  # `_drop`, without the call
            heappop(starts)
            self._leaves -= 1
            self._live -= 1
            if not slots:
                self._prune(self._root, at, 0)
            entry._at = IDLE
            yield entry

    # -- slots ----------------------------------------------------------------------------------

    def _find(self, at: int) -> tuple[Rung, int, int, Any]:
        """Return the leaf of *at*: where it is, its number there, its shift and what it holds."""
        slots = self._root
        for shift in self._SHIFTS:
            slot = slots.get(key := at >> shift)
            if type(slot) is not Rung:
                break
            slots = slot
        return slots, key, shift, slot

    def _head(self) -> tuple[int, Rung, int, int, Any] | None:
        """Return the first moment and its leaf, which is split until the moment is known."""
        starts = self._starts
        while starts:
            slots, key, shift, slot = self._find(starts[0])
            kind = type(slot)
            if slot is None:
                heappop(starts)
            elif kind is not list and kind is not Bucket:
                return slot._at, slots, key, shift, slot
            elif shift:
                self._split(slots, key, shift)
            else:
                return key, slots, key, shift, slot
        return None

    def _split(self, slots: Rung, key: int, shift: int) -> None:
        """Part a crowded leaf into slots of the next finer width."""
        finer = self._SHIFTS[self._SHIFTS.index(shift) + 1]
        rung = Rung()
        for entry in slots[key]:
            number = entry._at >> finer
            there = rung.get(number)
            if there is None:
                rung[number] = entry
            elif type(there) is list:
                there.append(entry)
            else:
                rung[number] = [there, entry]
        slots[key] = rung
        self._leaves += len(rung) - 1
        for number in rung:
            heappush(self._starts, number << finer)

    def _drop(self, slots: Rung, key: int, shift: int) -> None:
        """Remove an empty leaf, and the rungs that lead to nothing else."""
        del slots[key]
        self._leaves -= 1
        start = key << shift
        starts = self._starts
        if starts[0] == start:
            heappop(starts)
        elif len(starts) > 2 * self._leaves + _SLACK:
            starts[:] = [start for start, _ in self._walk(self._root)]
            heapify(starts)
        if not slots:
            self._prune(self._root, start, 0)

    def _prune(self, slots: Rung, at: int, depth: int) -> None:
        """Remove the empty rungs on the way to *at*."""
        key = at >> self._SHIFTS[depth]
        rung = slots.get(key)
        if type(rung) is Rung:
            self._prune(rung, at, depth + 1)
            if not rung:
                del slots[key]

    def _walk(self, slots: Rung, depth: int = 0) -> Iterator[tuple[int, Any]]:
        """Yield the start of each leaf and what it holds."""
        shift = self._SHIFTS[depth]
        for key, slot in slots.items():
            if type(slot) is Rung:
                yield from self._walk(slot, depth + 1)
            else:
                yield key << shift, slot


class Instants(Wheel[E]):
    """For moments of the wall clock, which many entries share: each instant is a slot."""

    __slots__ = ()

    _SHIFTS = (0,)

    def add(self, entry: E, at: int) -> None:
        # As above, for the one width there is, in half the time; and the moment itself is the key.
        if entry._at != IDLE:
            self.discard(entry)
        entry._at = at
        self._live += 1
        slots = self._root
        slot = slots.get(at)
        kind = type(slot)
        if kind is list or kind is Bucket:
            slot.append(entry)
        elif slot is None:
            slots[at] = entry
            self._leaves += 1
            heappush(self._starts, at)
        else:
            slots[at] = [slot, entry]


class Ladder(Wheel[E]):
    """For intervals, whose moments are spread over time: slots of 67 s, 1 s, 16 ms and 1 µs."""

    __slots__ = ()

    _SHIFTS = (26, 20, 14, 0)
