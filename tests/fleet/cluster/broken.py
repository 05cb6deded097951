"""Stores and lockers with one thing wrong with each, for the simulator to find."""

from __future__ import annotations

from aiosched.lockers._record import ExactSet
from tests.fleet.cluster.replica import NotingActor, NotingLocker, NotingRenewal
from tests.fleet.cluster.store import SimStore


class NoOwnerCheck(SimStore):
    """Frees a key whoever gives it back."""

    def release(self, entry, words, now):
        owner = entry.record.owner or ""
        return super().release(entry, [owner.encode(), *words[1:]], now)


class NoClaimMemory(SimStore):
    """Excludes, and remembers no occurrence."""

    def ask(self, entry, asked, now, ttl, born):
        entry.record = entry.record._replace(watermark=None, floor=None)
        entry.claimed = ExactSet()
        return super().ask(entry, asked, now, ttl, born)


class Faithful(NotingRenewal):
    """Never gives a lock up, whatever the clock and the store say."""

    def _lose(self, lock, why):
        lock.deadline = self._clock() + self._lease.usable

    def _lose_expired(self):
        for lock in self._locks.values():
            if lock.deadline <= self._clock():
                self._lose(lock, "")
                self.note(lock)


class Late(NotingRenewal):
    """Counts a renewed lease from when the answer came."""

    def _apply(self, answers, sent_at):
        return super()._apply(answers, self._clock())


class FaithfulActor(NotingActor):
    renewal = Faithful


class LateActor(NotingActor):
    renewal = Late


class FaithfulLocker(NotingLocker):
    """Honours leases that have expired."""

    actor = FaithfulActor


class PatientLocker(NotingLocker):
    """Waits for an answer as long as a lease lasts; nothing is wrong with that."""

    def __init__(self, client, ttl, **options):
        super().__init__(client, ttl, timeout=ttl, **options)


class LateLocker(PatientLocker):
    """Takes a renewal for newer than it is."""

    actor = LateActor
