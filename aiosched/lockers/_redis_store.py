"""One Redis as a store of locks: what it can be trusted with, its script, its records."""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Literal

from aiosched.durations import SECOND
from aiosched.errors import LockerUnavailable, UnfitStore
from aiosched.lockers import _redis_script as script
from aiosched.lockers._record import Record, describe, is_forgotten
from aiosched.lockers._redis_script import Names, Operation
from aiosched.lockers._redis_wire import AnyWire, is_unknown_script
from aiosched.lockers._renewal import Renew
from aiosched.lockers._requests import Ask, Look, Ping, Release, Request, Ring
from aiosched.model import LockRecord

_log = logging.getLogger("aiosched.lockers")

OnAmnesia = Literal["quarantine", "run"]

_OLDEST = (7, 0)
_HEADER = struct.Struct(">8d")
_NONE = -(2.0**53)


class RedisStore:
    """Asks one Redis.

    Args:
        wire: The connection.
        names: What keys are called.
        ttl_us: The lease.
        on_amnesia: What to do about a store that forgets; None: quarantine if it may forget.
    """

    def __init__(
        self, wire: AnyWire, names: Names, ttl_us: int, on_amnesia: OnAmnesia | None
    ) -> None:
        self.clock_offset: float | None = None
        self._wire = wire
        self._names = names
        self._ttl_us = ttl_us
        self._on_amnesia = on_amnesia
        self._forgets: str | None = None  # for the script; None: not known so far

    async def perform(self, batch: Sequence[Request]) -> list[object]:
        """Answer each request (see `aiosched.lockers._actor.Perform`)."""
        if self._forgets is None or any(isinstance(each, Ping) for each in batch):
            self._forgets = await self._inspect()
        operations: list[Operation] = []
        for request in batch:
            operations += _operations(request)
        answers = iter(await self.run(operations))
        await self._ring([each.channel for each in batch if isinstance(each, Ring)])
        return [_answer(request, answers) for request in batch]

    async def run(self, operations: Sequence[Operation]) -> list[object]:
        """Answer each operation.

        Raises:
            LockerUnavailable: What became of them is not known.
        """
        if not operations:
            return []
        if self._forgets is None:
            self._forgets = await self._inspect()
        settings = (self._ttl_us, self._forgets)
        calls = list(script.calls(operations, self._names, settings))
        began = time.time()
        try:
            replies = await self._call(calls)
        except LockerUnavailable:
            self._forgets = None  # it may come back as another one
            raise
        self.clock_offset = replies[0][0] / SECOND - (began + time.time()) / 2
        answers: list[object] = [None] * len(operations)
        for call, reply in zip(calls, replies, strict=True):
            for place, answer in zip(call.places, call.read(reply), strict=True):
                answers[place] = answer
        return answers

    async def close(self) -> None:
        """Let go of the connection."""
        await self._wire.close()

    async def _ring(self, channels: Sequence[str | bytes]) -> None:
        if channels:
            with suppress(LockerUnavailable):  # what was asked before has its answers
                await self._wire.send([("PUBLISH", channel, b"") for channel in channels])

    async def _call(self, calls: Sequence[script.Call]) -> list[Any]:
        replies = await self._wire.send([call.command("EVALSHA", script.SHA) for call in calls])
        unknown = [place for place, reply in enumerate(replies) if is_unknown_script(reply)]
        if unknown:  # a server is new, or was told to forget its scripts; EVAL makes it remember
            again = [calls[place].command("EVAL", script.SCRIPT) for place in unknown]
            for place, reply in zip(unknown, await self._wire.send(again), strict=True):
                replies[place] = reply
        for reply in replies:
            if isinstance(reply, Exception):
                raise self._wire.explain(reply)
        return replies

    # ── trust ─────────────────────────────────────────────────────────────────────────────────

    async def _inspect(self) -> str:
        """Return what loss of memory the script is to look for."""
        if self._on_amnesia == "run":
            return ""
        servers = await self._wire.facts()
        for facts in servers:
            self._check_version(facts.get("redis_version", ""))
        persists = all(facts.get("aof_enabled") == "1" for facts in servers)
        evicts = any(_evicts(facts) for facts in servers)
        if self._on_amnesia is None:
            self._warn(persists=persists, evicts=evicts)
            if persists and not evicts:
                return ""
        return "missing" if persists else "restart"

    def _check_version(self, version: str) -> None:
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if numbers < _OLDEST:
            raise UnfitStore(f"Redis at {self._wire.where} must be 7.0 or newer, it is {version!r}")

    def _warn(self, *, persists: bool, evicts: bool) -> None:
        seconds, where = self._ttl_us / SECOND, self._wire.where
        if evicts:
            _log.warning(
                "Redis at %s may evict what it was told to keep, and an occurrence may then run "
                "twice: set maxmemory-policy noeviction",
                where,
            )
        if not persists:
            _log.warning(
                "Redis at %s forgets when it restarts (no append-only file): after that, nothing "
                "is granted for %g s, and nothing that was due before; see on_amnesia",
                where,
                seconds,
            )

    # ── records ───────────────────────────────────────────────────────────────────────────────

    async def records(self) -> list[LockRecord]:
        """Return what is remembered, by key.

        Raises:
            LockerUnavailable: The store could not be asked.
        """
        now = await self._wire.now()
        found: dict[str, LockRecord] = {}
        async for names in self._wire.scan(self._names.pattern):
            for name, value in zip(names, await self._wire.fetch(names), strict=True):
                key = self._names.key_of(name)
                if key is not None and value and (record := _shown(key, value, now)):
                    found[key] = record
        return [found[key] for key in sorted(found)]

    async def evict(self, key: str) -> bool:
        """Free *key*, whoever holds it. Did somebody?

        Raises:
            LockerUnavailable: The store could not be asked.
        """
        (held,) = await self.run([script.evict(key)])
        if isinstance(held, LockerUnavailable):
            raise held
        return held is True


def _operations(request: Request) -> Iterable[Operation]:
    match request:
        case Ask():
            return (script.ask(request),)
        case Release():
            return (script.release(request),)
        case Renew():
            return (script.renew(lock.key, lock.id) for lock in request.locks)
        case Look():
            return (script.look(request),)
        case _:
            return ()


def _answer(request: Request, answers: Any) -> object:
    if isinstance(request, Renew):
        return list(islice(answers, len(request.locks)))
    if isinstance(request, (Ask, Release, Look)):
        return next(answers)
    return True


def _evicts(facts: dict[str, str]) -> bool:
    return facts.get("maxmemory", "0") != "0" and facts.get("maxmemory_policy") != "noeviction"


def _shown(key: str, value: bytes, now: int) -> LockRecord | None:
    """Return what to show of the record that the script has written so; None: it is over."""
    fence, watermark, floor, number, last_due, forget_at, open_due, till = (
        None if each == _NONE else int(each) for each in _HEADER.unpack_from(value)
    )
    owner = value[_HEADER.size + 1 :][: value[_HEADER.size]].decode()
    busy = (till or 0) > now
    record = Record(
        fence=fence or 0,
        watermark=watermark,
        floor=floor,
        open_due=open_due,
        attempt=number or 0,
        owner=owner if busy else None,
        last_due=last_due,
        forget_at=forget_at or 0,
    )
    if is_forgotten(record, now, busy=busy):
        return None
    return describe(key, record, busy=busy, till=till)
