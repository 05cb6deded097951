"""The script that Redis decides by: requests into its arguments, its reply into answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, NamedTuple, Protocol

from aiosched.durations import SECOND
from aiosched.errors import LockError, LockerUnavailable, Superseded, UnfitStore
from aiosched.lockers import _refusals
from aiosched.lockers._requests import Ask, Look, Release
from aiosched.model import Claim
from aiosched.moments import from_us

SCRIPT = files(__package__).joinpath("_redis.lua").read_bytes()


def sha_of(source: bytes) -> str:
    """Return the name by which Redis knows a script that it has seen."""
    return sha1(source, usedforsecurity=False).hexdigest()


SHA = sha_of(SCRIPT)

CHUNK = 200
"""Requests that one call answers: no more than about a millisecond of the server's time."""

GRANTED, EARLY, LATE, RAN, SUPERSEDED, HELD, LOST, RECOVERING, BROKEN = range(9)
_SAME_OCCURRENCE, _BEHIND_REDELIVERY = 1, 2

EXCLUSIVE, EXACT, REDELIVER, TENTATIVE = 1, 2, 4, 8

Argument = str | bytes | int
Reader = Callable[[Any, int], object]
"""Makes an answer of the raw one and the store's clock."""


class Names(Protocol):
    """What keys are called. No two are ever the same, whatever the text."""

    def shared_out(self, operations: Sequence[Operation]) -> Iterable[tuple[bytes, Sequence[int]]]:
        """Return epochs, and the places of the operations that one call may have beside it."""
        ...

    def record(self, key: str) -> bytes: ...
    def exact(self, record: bytes) -> bytes: ...
    @property
    def pattern(self) -> bytes:
        """For `SCAN`: finds every record, and more."""
        ...

    def key_of(self, record: bytes) -> str | None:
        """Return the key of the record that is called so; None: it is no record."""
        ...


class OneServer:
    """``aiosched:v1:{key:NAME}``, and the exact set beside it."""

    __slots__ = ("_epoch", "_start")

    def __init__(self, prefix: str) -> None:
        start = f"{prefix}:v1:".encode("utf-8", "surrogatepass")
        self._start = start + b"{key:"
        self._epoch = start + b"epoch"

    def shared_out(self, operations: Sequence[Operation]) -> Iterable[tuple[bytes, Sequence[int]]]:
        yield self._epoch, range(len(operations))

    def record(self, key: str) -> bytes:
        return b"%b%b}" % (self._start, key.encode("utf-8", "surrogatepass"))

    def exact(self, record: bytes) -> bytes:
        return record + b":exact"

    @property
    def pattern(self) -> bytes:
        return escaped(self._start) + b"*}"

    def key_of(self, record: bytes) -> str | None:
        if not record.startswith(self._start) or not record.endswith(b"}"):
            return None
        return record[len(self._start) : -1].decode("utf-8", "surrogatepass")


def escaped(text: bytes) -> bytes:
    """Return *text* as a part of a pattern that stands for itself."""
    return re.sub(rb"([*?\[\]\\])", rb"\\\1", text)


class Operation(NamedTuple):
    """One question to the script.

    Attributes:
        key: Of the record.
        arguments: The verb, and what belongs to it.
        read: Makes the answer of the raw one and the store's clock.
    """

    key: str
    arguments: tuple[Argument, ...]
    read: Reader


class Granted(NamedTuple):
    """Yes."""

    due: int | None
    fence: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Call:
    """One run of the script.

    Attributes:
        operations: Which it answers.
        places: Of these among all.
        keys: The epoch, and two of each.
        arguments: The settings, and those of each.
    """

    operations: Sequence[Operation]
    places: Sequence[int]
    keys: list[bytes]
    arguments: list[Argument]

    def command(self, verb: str, text: str | bytes) -> tuple[Argument, ...]:
        """Return it as ``EVALSHA`` with the hash of the script, or ``EVAL`` with the script."""
        return (verb, text, len(self.keys), *self.keys, *self.arguments)

    def read(self, reply: Sequence[Any]) -> list[object]:
        """Return the answers; the reply begins with the store's clock."""
        now, *answers = reply
        return [
            read(raw, now)
            for (_key, _given, read), raw in zip(self.operations, answers, strict=True)
        ]


def calls(
    operations: Sequence[Operation], names: Names, settings: tuple[Argument, ...]
) -> Iterator[Call]:
    """Cut *operations* into calls.

    Args:
        operations: In the order in which they take effect.
        names: What keys are called.
        settings: The lease in microseconds, and when memory counts as lost.
    """
    for epoch, places in names.shared_out(operations):
        for first in range(0, len(places), CHUNK):
            chosen = places[first : first + CHUNK]
            keys, arguments = [epoch], [*settings]
            answered = [operations[place] for place in chosen]
            for key, given, _read in answered:
                record = names.record(key)
                keys += record, names.exact(record)
                arguments += given
            yield Call(answered, chosen, keys, arguments)


def ask(request: Ask) -> Operation:
    """Claim."""
    return Operation(request.key, ("ask", *_asked(request)), _Answer(request.claim))


def ask_tentatively(request: Ask, read: Reader) -> Operation:
    """Claim, so that it can be undone or settled."""
    return Operation(request.key, ("ask", *_asked(request, TENTATIVE)), read)


def settle(request: Ask, granted: Granted) -> Operation:
    """Have what was granted be what most stores have granted. True: it was granted here."""
    due = "" if granted.due is None else granted.due
    decided = (due, granted.attempt, granted.fence)
    return Operation(request.key, ("settle", *_asked(request, TENTATIVE), *decided), read_bool)


def undo(request: Ask) -> Operation:
    """Have it be as if it had not been granted, if it was. True: it was."""
    return Operation(request.key, ("undo", request.attempt), read_bool)


def over(request: Ask, due: int) -> Operation:
    """Ask about an occurrence. True: it was claimed before *request*, and is not open any more."""
    return Operation(request.key, ("over", request.attempt, due), read_bool)


def _asked(request: Ask, flags: int = 0) -> tuple[Argument, ...]:
    claim = request.claim
    flags |= EXCLUSIVE * claim.exclusive | EXACT * claim.exact | REDELIVER * claim.redeliver
    due = "" if claim.due_us is None else claim.due_us
    return request.attempt, due, claim.late_us, claim.keep_us, flags


def release(request: Release) -> Operation:
    """Give back."""
    due = "" if request.due is None else request.due
    return Operation(request.key, ("release", request.attempt, due, int(request.done)), read_bool)


def renew(key: str, attempt: str) -> Operation:
    """Prolong the lease."""
    return Operation(key, ("renew", attempt), read_bool)


def evict(key: str) -> Operation:
    """Free, whoever holds it. True: somebody did."""
    return Operation(key, ("evict",), read_bool)


def look(request: Look) -> Operation:
    """Ask for the newest claimed occurrence."""
    return Operation(request.key, ("look",), read_moment)


def read_bool(raw: Any, now: int) -> object:  # noqa: ARG001 - as all that read
    """Return whether it is so."""
    return broken(raw) or raw == 1


def read_moment(raw: Any, now: int) -> object:  # noqa: ARG001
    """Return a moment or None."""
    return broken(raw) or (None if raw is None else from_us(raw))


def broken(raw: Any) -> LockError | None:
    """Return why the script could not answer, if it could not."""
    if isinstance(raw, list) and raw[0] == BROKEN:
        return UnfitStore(f"a key of ours cannot be used: {_text(raw[1])}")
    return None


class _Answer:
    """Reads the answer to a claim."""

    __slots__ = ("_claim",)

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def __call__(self, raw: Any, now: int) -> object:
        if raw[0] == GRANTED:
            return Granted(raw[1], raw[2], raw[3])
        return refusal(self._claim, raw, now)


def refusal(claim: Claim, raw: Any, now: int) -> LockError:
    """Return what the script's no means."""
    read = _REFUSALS.get(raw[0])
    if read is not None:
        return read(claim, raw, now)
    return broken(raw) or UnfitStore(f"the script answered {raw!r}")


def _held(claim: Claim, raw: Any) -> LockError:
    remaining, kind = raw[1] / SECOND, raw[2]
    if kind == _SAME_OCCURRENCE:
        return _refusals.uncompleted(claim, remaining)
    return _refusals.held(claim, remaining, behind_redelivery=kind == _BEHIND_REDELIVERY)


def _lost(raw: Any) -> LockError:
    since = from_us(raw[1]).isoformat()
    return Superseded(
        f"what was due before {since}, when the store lost its memory, is not granted"
    )


def _recovering(raw: Any) -> LockError:
    wait = raw[1] / SECOND
    return LockerUnavailable(f"the store lost its memory and grants nothing for {wait:.1f} s")


_REFUSALS: dict[int, Callable[[Claim, Any, int], LockError]] = {
    EARLY: lambda claim, _, now: _refusals.too_early(claim, claim.due_us or 0, now),
    LATE: lambda claim, _, now: _refusals.too_late(claim, claim.due_us or 0, now),
    RAN: lambda claim, _raw, _now: _refusals.already_ran(claim),
    SUPERSEDED: lambda claim, raw, _: _refusals.superseded(claim, raw[1]),
    HELD: lambda claim, raw, _: _held(claim, raw),
    LOST: lambda _claim, raw, _now: _lost(raw),
    RECOVERING: lambda _claim, raw, _now: _recovering(raw),
}


def _text(raw: object) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
