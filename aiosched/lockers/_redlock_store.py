"""Several Redis servers as one store: what most of them say is so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from aiosched.errors import LockError, LockerUnavailable, UnfitStore
from aiosched.lockers import _redis_script as script
from aiosched.lockers import _redlock_vote as vote
from aiosched.lockers._redis_script import Granted, Operation
from aiosched.lockers._redlock_node import Node
from aiosched.lockers._renewal import Renew
from aiosched.lockers._requests import Ask, Look, Ping, Release, Request
from aiosched.model import LockRecord

_PAUSE = (0.01, 0.04)
"""Seconds until those who met ask again, at random."""
_GIVE_WAY = (2.0, 3.0)
"""Rounds for which whoever gives way stands back, so that the other one is through by then."""
_ROUNDS = 12
"""Rounds, besides the patience, after which it is at an end."""


class RedlockStore:
    """Asks all, and counts.

    Args:
        nodes: The servers.
        patience: Seconds for which those who met ask again.
    """

    def __init__(self, nodes: Sequence[Node], patience: float) -> None:
        self._nodes = nodes
        self._patience = patience
        self._quorum = len(nodes) // 2 + 1

    @property
    def clock_offset(self) -> float | None:
        """The middle one of the servers' offsets."""
        known = sorted(
            each.store.clock_offset for each in self._nodes if each.store.clock_offset is not None
        )
        return known[len(known) // 2] if known else None

    async def perform(self, batch: Sequence[Request]) -> list[object]:
        """Answer each request (see `aiosched.lockers._actor.Perform`)."""
        if any(isinstance(request, Ping) for request in batch):
            await self._greet()
        operations = [each for request in batch for each in _operations(request)]
        owed = [each for request in batch for each in _owed(request)]
        answers = iter(await self._ask(operations, owed))
        results = [self._count(request, answers) for request in batch]
        asks = {place: each for place, each in enumerate(batch) if isinstance(each, Ask)}
        if asks:
            await self._settle(asks, results)
        return results

    async def records(self) -> list[LockRecord]:
        """Return what most remember."""
        found = await asyncio.gather(
            *(each.store.records() for each in self._nodes), return_exceptions=True
        )
        known = [each for each in found if isinstance(each, list)]
        if len(known) < self._quorum:
            raise next(each for each in found if isinstance(each, BaseException))
        by_key: dict[str, list[LockRecord]] = {}
        for record in (each for records in known for each in records):
            by_key.setdefault(record.key, []).append(record)
        return [self._merged(by_key[key]) for key in sorted(by_key)]

    async def evict(self, key: str) -> bool:
        """Free *key* on all. Did somebody hold it on most?"""
        (answers,) = await self._ask([script.evict(key)], ())
        held = self._most(answers)
        if isinstance(held, LockerUnavailable):
            raise held
        return held is True

    async def close(self) -> None:
        """Let go of the connections."""
        for node in self._nodes:
            await node.store.close()

    # ── asking all ────────────────────────────────────────────────────────────────────────────

    async def _greet(self) -> None:
        found = await asyncio.gather(
            *(node.store.perform([Ping()]) for node in self._nodes), return_exceptions=True
        )
        for error in found:
            if isinstance(error, UnfitStore):
                raise error

    async def _ask(
        self, operations: Sequence[Operation], owed: Sequence[Operation]
    ) -> list[tuple[Any, ...]]:
        """Return, for each operation, the answers of those that answered.

        Raises:
            LockerUnavailable: They are too few.
        """
        if not operations:
            return []
        awake = [node for node in self._nodes if not node.rests]
        known = await _answers(awake, operations, owed)
        resting = [node for node in self._nodes if node not in awake]
        if len(known) < self._quorum:
            known += await _answers(resting, operations, owed)
        else:
            for node in resting:
                node.owe(owed)
        if len(known) < self._quorum:
            error = next(node.error for node in self._nodes if node.error is not None)
            raise LockerUnavailable(
                f"{len(known)} of {len(self._nodes)} servers answer, {self._quorum} are needed: "
                f"{error}"
            ) from error
        return list(zip(*known, strict=True))

    # ── counting ──────────────────────────────────────────────────────────────────────────────

    def _count(self, request: Request, answers: Iterator[tuple[Any, ...]]) -> object:
        match request:
            case Ask():
                return vote.count(request.claim, next(answers), len(self._nodes))
            case Renew():
                return [self._most(each) for each in islice(answers, len(request.locks))]
            case Release():
                return self._most(next(answers))
            case Look():
                return self._newest(next(answers))
            case _:
                return True

    def _most(self, answers: Sequence[object]) -> object:
        """Whether most say that it is so; an error where neither yes nor no has enough."""
        if sum(answer is True for answer in answers) >= self._quorum:
            return True
        if sum(answer is False for answer in answers) > len(self._nodes) - self._quorum:
            return False
        return LockerUnavailable("too few servers answer to know")

    def _newest(self, answers: Sequence[Any]) -> object:
        known = [each for each in answers if not isinstance(each, LockError)]
        if len(known) < self._quorum:
            return next(each for each in answers if isinstance(each, LockError))
        return max((each for each in known if each is not None), default=None)

    def _merged(self, records: Sequence[LockRecord]) -> LockRecord:
        newest = max(records, key=lambda record: record.fence)
        is_held = sum(record.held for record in records) >= self._quorum
        return replace(
            newest,
            held=is_held,
            holder=newest.holder if is_held else None,
            held_until=newest.held_until if is_held else None,
        )

    # ── the second round ──────────────────────────────────────────────────────────────────────

    async def _settle(self, asks: dict[int, Ask], results: list[object]) -> None:
        """Settle or undo what *asks* came to, and ask again for those who met rivals.

        Who meet have shared the servers out among themselves, and might do so again. So the one
        with the first name of those whom it met keeps the votes it has, and goes on asking for
        the others; the rest give theirs up and stand back until it should be through.
        """
        clock = asyncio.get_running_loop().time
        patience = clock() + self._patience + _ROUNDS * self._round_trip
        waiting: dict[int, float] = {}  # when each asks again
        asked, is_last = asks, False
        while True:
            await self._decide(asked, results)
            met = await self._conclude(asked, results, is_last=is_last)
            for place in asked:
                waiting.pop(place, None)
            if not is_last:
                now = clock()
                waiting |= {place: now + self._pause(leads=leads) for place, leads in met.items()}
            if not waiting:
                return
            await asyncio.sleep(min(waiting.values()) - clock())
            now = clock()
            is_last = now >= patience
            asked = {place: asks[place] for place, at in waiting.items() if is_last or at <= now}
            votes = await self._ask(*_asked_again(asked.values()))
            for (place, request), its in zip(asked.items(), votes, strict=True):
                results[place] = vote.count(request.claim, its, len(self._nodes))

    @property
    def _round_trip(self) -> float:
        """Of those who answer: whoever does not costs nothing any more, as it rests."""
        return max((node.took for node in self._nodes if not node.rests), default=0.0)

    def _pause(self, *, leads: bool) -> float:
        pause = random.uniform(*_PAUSE)  # noqa: S311 - no secret
        if leads:
            return pause
        return random.uniform(*_GIVE_WAY) * (self._round_trip + pause)  # noqa: S311

    async def _decide(self, asks: dict[int, Ask], results: list[object]) -> None:
        """Where some would deliver an older occurrence again, ask all whether it is over.

        Whoever completed it had told most, and one of those is among most of those that answer.
        """
        divided = {
            place: outcome
            for place in asks
            if isinstance(outcome := results[place], vote.Divided) and outcome.again.due is not None
        }
        operations = [script.over(asks[p], each.again.due or 0) for p, each in divided.items()]
        answers = await self._ask(operations, ())
        for (place, each), known in zip(divided.items(), answers, strict=True):
            results[place] = each.otherwise if True in known else each.again

    async def _conclude(
        self, asks: dict[int, Ask], results: list[object], *, is_last: bool
    ) -> dict[int, bool]:
        """Settle what was granted, undo the rest; return who is to ask again, and if it leads.

        The fence that is told must be known to most before it is, or a later one could be lower.
        """
        unsettled = {
            place: outcome.leads(request.attempt)
            for place, request in asks.items()
            if isinstance(outcome := results[place], vote.Refused) and not outcome.is_settled
        }
        seconds = {
            place: _second(request, results[place])
            for place, request in asks.items()
            if is_last or not unsettled.get(place)
        }
        operations = {place: each for place, each in seconds.items() if each is not None}
        undo = [script.undo(asks[place]) for place in operations]
        done = dict(zip(operations, await self._ask([*operations.values()], undo), strict=True))
        failed = []
        for place, request in asks.items():
            outcome = results[place]
            if isinstance(outcome, vote.Refused):
                results[place] = outcome.error
            elif outcome is None or self._most(done[place]) is not True:
                results[place] = LockerUnavailable("too few servers could vote")
                failed.append(script.undo(request))
        await self._ask(failed, failed)
        return unsettled


async def _answers(
    nodes: Sequence[Node], operations: Sequence[Operation], owed: Sequence[Operation]
) -> list[list[object]]:
    replies = await asyncio.gather(*(node.run(operations, owed) for node in nodes))
    return [reply for reply in replies if reply is not None]


def _operations(request: Request) -> Iterable[Operation]:
    match request:
        case Ask():
            return (_asked(request),)
        case Release():
            return (script.release(request),)
        case Renew():
            return (script.renew(lock.key, lock.id) for lock in request.locks)
        case Look():
            return (script.look(request),)
        case _:
            return ()


def _owed(request: Request) -> Iterable[Operation]:
    """Return what a server has to be told when it is back, as it may have heard the request."""
    if isinstance(request, Ask):
        return (script.undo(request),)
    return (script.release(request),) if isinstance(request, Release) else ()


def _second(request: Ask, outcome: object) -> Operation | None:
    """Return what follows from what a claim has come to; None: nothing."""
    if isinstance(outcome, Granted):
        return script.settle(request, outcome)
    if isinstance(outcome, vote.Refused) and not outcome.has_grants:
        return None
    return script.undo(request)


def _asked(request: Ask) -> Operation:
    return script.ask_tentatively(request, vote.Vote)


def _asked_again(requests: Iterable[Ask]) -> tuple[list[Operation], list[Operation]]:
    """Return the operations of *requests*, and what a server that does not answer is owed."""
    requests = list(requests)
    return [_asked(each) for each in requests], [script.undo(each) for each in requests]
