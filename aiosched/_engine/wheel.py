"""When which entry is due: a sparse timing wheel, pure arithmetic on integers of microseconds.

Time is cut into slots that exist only while somebody is in them. A slot that has grown large, or
whose turn it is, is split into finer slots, down to single microseconds, where the entries wait in
the order in which they came. So there are few slots far away, at 8 bytes an entry, and exact
moments nearby, and nothing is sorted but the numbers of the slots. No slot has a container for each
of its entries: a million of them give the garbage collector only some lists to trace.

These are the rungs of the ladder queue (Tang, Goh and Thng, "Ladder queue: an O(1) priority queue
structure for large-scale discrete event simulation", ACM TOMACS 15(3), 2005), made wherever entries
crowd instead of in front only.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from aiosched._engine.slots import Bucket, Rung

IDLE: Final = -1
"""The `_at` of an entry that is in no wheel. Every other integer is a moment, this one is none."""

_LARGE: Final = 1024  # entries; to move so many takes some 0.3 ms


class Entry(Protocol):
    """What can be put into a wheel, and into one wheel at a time. It is hashed by identity."""

    _at: int
    """Its moment in the wheel, else `IDLE`. Only the wheel writes it."""


E = TypeVar("E", bound=Entry)


class Wheel(Generic[E]):
    """Entries by the moment at which they are due, earliest first, then in the order of `add`.

    Every step is O(1) on average, but for the heaps of the slots' numbers. The longest single ones
    are to split a slot, 0.3 ms, and to forget half of a crowd that left one microsecond, 1 ms for
    100,000. Which clock the moments are on is the caller's business.
    """

    __slots__ = ("_live", "_made", "_root")

    _SHIFTS: ClassVar[tuple[int, ...]]
    """The widths of slots from coarse to fine, as powers of two; the last is 0."""

    def __init__(self) -> None:
        self._root = Rung()
        self._live = 0
        self._made = 0  # slots that `add` ever made: only a new one can become the first

    def __len__(self) -> int:
        return self._live

    def add(self, entry: E, at: int) -> None:
        """Make *entry* due at *at*, behind those of that moment; one that is in is moved."""
        if entry._at != IDLE:
            self.discard(entry)
        entry._at = at
        self._live += 1
        slots = self._root
        slot: Any
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
            heappush(slots.order, key)
            self._made += 1
        else:
            slots[key] = [slot, entry]

    def discard(self, entry: E) -> None:
        """Take *entry* out, if it is in."""
        at = entry._at
        if at == IDLE:
            return
        entry._at = IDLE
        self._live -= 1
        slots, key, slot = self._find(at)
        if slot is not entry:
            if type(slot) is list:
                slot = slots[key] = Bucket(slot)
            slot.remove(entry)
            if slot.rest:
                return
        self._close(slots, key, at)

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
            elif shift == 0:
                yield from self._take_singles(slots, now)
            else:
                self._close(slots, key, at)
                self._live -= 1
                slot._at = IDLE
                yield slot

    def entries(self) -> Iterator[E]:
        """Yield who is in, in no order. Nothing may be added or discarded meanwhile."""
        return self._walk(self._root)

    # -- taking out -----------------------------------------------------------------------------
    # At each `yield` anything may happen. So these stop when a slot was made, which may be earlier
    # than theirs; and a slot that others have emptied meanwhile gives nothing more.

    def _take_crowd(self, slots: Rung, at: int) -> Iterator[E]:
        """Take out the entries of the microsecond *at*, which is the first."""
        crowd = slots[at]
        bucket = slots[at] = Bucket(crowd) if type(crowd) is list else crowd
        rest, gone, made = bucket.rest, bucket.gone, self._made
        while rest and self._made == made:
            entry: E = rest.pop()
            if (gone or not rest) and not bucket.settle():
                self._close(slots, at, at)
            self._live -= 1
            entry._at = IDLE
            yield entry

    def _take_singles(self, slots: Rung, now: int) -> Iterator[E]:
        """Take out those of *slots*, microseconds and the first, who are alone in theirs."""
        order, made = slots.order, self._made
        while order and self._made == made and (at := order[0]) <= now:
            entry = slots.get(at)
            kind = type(entry)
            if entry is None or kind is list or kind is Bucket:
                return
            self._close(slots, at, at)
            self._live -= 1
            entry._at = IDLE
            yield entry

    # -- slots ----------------------------------------------------------------------------------

    def _find(self, at: int) -> tuple[Rung, int, Any]:
        """Return the slot of *at* that is not split: where it is, its number, what it holds."""
        slots = self._root
        for shift in self._SHIFTS:
            slot = slots.get(key := at >> shift)
            if type(slot) is not Rung:
                break
            slots = slot
        return slots, key, slot

    def _head(self) -> tuple[int, Rung, int, int, Any] | None:
        """Return the first moment and its slot, which is split until the moment is known."""
        if not self._live:
            return None
        slots = self._root
        for shift in self._SHIFTS:
            order = slots.order
            while (slot := slots.get(key := order[0])) is None:
                heappop(order)
            kind = type(slot)
            if kind is Rung:
                slots = slot
            elif kind is not list and kind is not Bucket:
                return slot._at, slots, key, shift, slot
            elif shift:
                slots = self._split(slots, key, shift)
        return key, slots, key, shift, slot

    def _split(self, slots: Rung, key: int, shift: int) -> Rung:
        """Part a crowded slot into slots of the next finer width."""
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
        rung.order = sorted(rung)
        slots[key] = rung
        return rung

    def _close(self, slots: Rung, key: int, at: int) -> None:
        """Remove an empty slot, and the rungs that lead to nothing else."""
        slots.close(key)
        if not slots:
            self._prune(self._root, at, 0)

    def _prune(self, slots: Rung, at: int, depth: int) -> None:
        """Remove the empty rungs on the way to *at*."""
        key = at >> self._SHIFTS[depth]
        rung = slots.get(key)
        if type(rung) is Rung:
            self._prune(rung, at, depth + 1)
            if not rung:
                slots.close(key)

    def _walk(self, slots: Rung) -> Iterator[E]:
        for slot in slots.values():
            if type(slot) is Rung:
                yield from self._walk(slot)
            elif type(slot) is list or type(slot) is Bucket:
                yield from slot
            else:
                yield slot


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
        slot: Any = slots.get(at)
        kind = type(slot)
        if kind is list or kind is Bucket:
            slot.append(entry)
        elif slot is None:
            slots[at] = entry
            heappush(slots.order, at)
            self._made += 1
        else:
            slots[at] = [slot, entry]


class Ladder(Wheel[E]):
    """For intervals, whose moments are spread over time: slots of 67 s, 1 s, 16 ms and 1 µs."""

    __slots__ = ()

    _SHIFTS = (26, 20, 14, 0)
