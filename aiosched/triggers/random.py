"""Intervals of varying length that every host agrees on."""

from __future__ import annotations

from datetime import UTC, tzinfo
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from aiosched.errors import InvalidTrigger
from aiosched.triggers.base import LAST_US, Arguments, ZonedTrigger, put
from aiosched.triggers.checks import duration_text, duration_us, refuse

if TYPE_CHECKING:
    from aiosched.durations import Duration

_BITS = 64
_MASK = (1 << _BITS) - 1

Seed = str | int | bytes


class RandomEvery(ZonedTrigger):
    """Gaps between *min* and *max*, drawn from a hash: pure, so that replicas agree.

    Occurrence k lies at k * (min + max) / 2 + U(seed, k) * (max - min) / 2 from the Unix epoch with
    U in [0, 1). Moments are whole microseconds, rounded down.

    Args:
        min, max: 0 < min < max.
        seed: None: the job's name, which `bind` gives.

    Raises:
        InvalidTrigger: A bound is wrong; or, when asked, there is no seed yet.
    """

    __slots__ = ("_key", "_max", "_min", "seed")

    seed: Seed | None
    _key: int | None
    _max: int
    _min: int

    def __init__(self, min: Duration, max: Duration, seed: Seed | None = None) -> None:  # noqa: A002 - the public names
        if isinstance(seed, bool) or not isinstance(seed, (str, int, bytes, type(None))):
            refuse("seed", "be text, an int, bytes or None", seed)
        put(self, "_min", duration_us(min, "min"))
        put(self, "_max", duration_us(max, "max"))
        if self._min >= self._max:
            raise InvalidTrigger(f"max must be more than min, got min={min!r}, max={max!r}")
        put(self, "seed", seed)
        put(self, "_key", None if seed is None else _key(seed))
        put(self, "zone", UTC)

    def next_us(self, us: int, /) -> int | None:
        """Return the first occurrence strictly later than *us*.

        Raises:
            InvalidTrigger: It has no seed and is not bound.
        """
        index = 2 * us // (self._min + self._max)
        while (found := self._occurrence(index)) <= us:
            index += 1
        return found if found <= LAST_US else None

    def gap(self, index: int, /) -> int:
        """Return the pause before run *index*, counted from completion: in [min, max)."""
        return self._min + (self._draw(index) * (self._max - self._min) >> _BITS)

    def bind(self, *, name: str, tz: tzinfo) -> RandomEvery:
        """Return the trigger seeded with the job's name, unless it has a seed."""
        if self.seed is not None:
            return super().bind(name=name, tz=tz)
        low, high = self.arguments()[0]
        return RandomEvery(low, high, seed=name).bind(name=name, tz=tz)

    def arguments(self) -> Arguments:
        """Return the bounds as text, and the seed."""
        keywords: dict[str, Any] = {} if self.seed is None else {"seed": self.seed}
        return (duration_text(self._min), duration_text(self._max)), keywords

    def _occurrence(self, index: int) -> int:
        mean = index * (self._min + self._max) << _BITS
        return mean + self._draw(index) * (self._max - self._min) >> (_BITS + 1)

    def _draw(self, index: int) -> int:
        """Return 64 bits hashed from *index* (SplitMix64's finalizer, Steele et al. 2014)."""
        if self._key is None:
            raise InvalidTrigger(f"seed must be given, or {self!r} bound to a job's name")
        mixed = self._key + index * 0x9E3779B97F4A7C15 & _MASK
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
        return mixed ^ mixed >> 31


def _key(seed: Seed) -> int:
    data = seed if isinstance(seed, bytes) else str(seed).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest())
