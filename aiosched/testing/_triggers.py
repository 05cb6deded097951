"""The tests of `TriggerConformance`."""

# ruff: noqa: S101 - these are tests, to be collected where they are inherited

from __future__ import annotations

import pickle
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, ClassVar

from aiosched.moments import to_us
from aiosched.protocols import BindableTrigger, Trigger

_TICK = timedelta(microseconds=1)


class TriggerConformance:
    """The tests of a trigger; a subclass makes it.

    To give: `make`. To change where the defaults do not fit: `moments`, `steps`, `name` and `zone`.
    A law about what a trigger does not have holds: one that counts elapsed time (`elapsed` is true)
    knows no grid of moments.
    """

    moments: ClassVar[Sequence[datetime]] = (
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2024, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 8, 6, 30, tzinfo=UTC),  # America/New_York, before its gap
        datetime(2026, 3, 29, 0, 30, tzinfo=UTC),  # Europe, before its gap
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),  # Europe, within the hour that comes twice
        datetime(2026, 11, 1, 6, 30, tzinfo=UTC),  # America/New_York, the second time
        datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC),
    )
    """From where the tests ask."""

    steps: ClassVar[int] = 25
    """How many occurrences they follow from each of these."""

    name: ClassVar[str] = "conformance"
    zone: ClassVar[tzinfo] = UTC
    """What the trigger is bound to, if it can be bound."""

    def make(self) -> Trigger:
        """Return the trigger, the same each time."""
        raise NotImplementedError("a trigger's test class says how to make it")

    # ── for the tests ─────────────────────────────────────────────────────────────────────────

    def bound(self) -> Trigger:
        """Return a trigger as a scheduler would have it."""
        trigger = self.make()
        if not isinstance(trigger, BindableTrigger):
            return trigger
        return trigger.bind(name=self.name, tz=self.zone)

    def follow(self, trigger: Trigger, moment: datetime) -> list[datetime]:
        """Return the next occurrences, in UTC: in a zone's own time some cannot be compared."""
        found: list[datetime] = []
        following = trigger.next_after(moment)
        while following is not None and len(found) < self.steps:
            found.append(following.astimezone(UTC))
            following = trigger.next_after(following)
        return found

    def follow_all(self, trigger: Trigger) -> list[list[datetime]]:
        """Return the next occurrences from each of `moments`."""
        return [self.follow(trigger, moment) for moment in self.moments]

    # ── the tests ─────────────────────────────────────────────────────────────────────────────

    def test_it_is_a_trigger(self) -> None:
        trigger = self.make()
        assert not isinstance(trigger, type)
        assert isinstance(trigger, Trigger)

    def test_it_names_some_moment(self) -> None:
        assert any(self.follow_all(self.bound()))

    def test_every_occurrence_is_aware(self) -> None:
        trigger = self.bound()
        for moment in self.moments:
            found = trigger.next_after(moment)
            assert found is None or found.utcoffset() is not None

    def test_every_occurrence_is_strictly_later(self) -> None:
        trigger = self.bound()
        for moment in self.moments:
            asked = [moment, *self.follow(trigger, moment)]
            assert asked == sorted(set(asked))

    def test_nothing_lies_between_a_moment_and_its_next(self) -> None:
        trigger = self.bound()
        if getattr(trigger, "elapsed", False):
            return  # it counts from the moment that is asked
        for moment in self.moments:
            before = moment
            for found in self.follow(trigger, moment)[:5]:
                third = (found - before) // 3
                for asked in (before + third, before + 2 * third, found - _TICK):
                    assert self.follow(trigger, asked)[0] == found
                before = found

    def test_once_there_is_none_there_is_none_later(self) -> None:
        trigger = self.bound()
        for moment in self.moments:
            if trigger.next_after(moment) is None:
                assert trigger.next_after(moment + timedelta(days=1)) is None
                assert trigger.next_after(moment + timedelta(days=10_000)) is None

    def test_the_same_question_has_the_same_answer(self) -> None:
        trigger = self.bound()
        answers = self.follow_all(trigger)
        backwards = [self.follow(trigger, moment) for moment in reversed(self.moments)]
        assert backwards[::-1] == answers

    def test_an_equal_trigger_gives_the_same_answers(self) -> None:
        assert self.follow_all(self.bound()) == self.follow_all(self.bound())

    def test_the_zone_of_the_moment_does_not_matter(self) -> None:
        trigger = self.bound()
        far = timezone(timedelta(hours=-11, minutes=-30))
        for moment in self.moments:
            assert self.follow(trigger, moment.astimezone(far)) == self.follow(trigger, moment)

    def test_binding_again_changes_nothing(self) -> None:
        trigger = self.bound()
        if not isinstance(trigger, BindableTrigger):
            return  # a law of those that know their job
        again = trigger.bind(name=self.name, tz=self.zone)
        assert self.follow_all(again) == self.follow_all(trigger)

    def test_it_can_be_hashed_and_compared(self) -> None:
        one, other = self.make(), self.make()
        assert one == one  # noqa: PLR0124 - a comparison that fails is what this is about
        assert (one == other) <= (hash(one) == hash(other))

    def test_a_pickled_one_gives_the_same_answers(self) -> None:
        trigger = self.bound()
        try:
            data = pickle.dumps(trigger)
        except (pickle.PicklingError, AttributeError, TypeError):
            return  # it need not be possible
        assert self.follow_all(pickle.loads(data)) == self.follow_all(trigger)  # noqa: S301 - our own

    def test_its_microseconds_say_the_same(self) -> None:
        trigger: Any = self.bound()
        if not callable(getattr(trigger, "next_us", None)):
            return  # it counts in datetimes only
        for moment in self.moments:
            found = trigger.next_after(moment)
            assert trigger.next_us(to_us(moment)) == (None if found is None else to_us(found))

    def test_its_gaps_are_not_negative(self) -> None:
        trigger: Any = self.bound()
        if not callable(getattr(trigger, "gap", None)):
            return  # it has no gaps to count from the end of a run
        gaps = [trigger.gap(index) for index in range(self.steps)]
        assert all(gap is None or gap >= 0 for gap in gaps)
        assert gaps == [trigger.gap(index) for index in range(self.steps)]
