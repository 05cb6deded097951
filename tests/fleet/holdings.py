"""Who asked for what and who was granted it, put together from single lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from tests.fleet.history import Event

NO_ANSWER = "unavailable"


@dataclass(slots=True)
class Ask:
    """A question to the store. *answer* is a reason, ``granted``, or None if none came."""

    worker: str
    key: str
    due: int
    at: float
    answered: float = inf
    answer: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the store may have said yes without anybody knowing."""
        return self.answer in {None, NO_ANSWER}


@dataclass(slots=True)
class Holding:
    """A grant and what became of it, on the history's clock; inf: it has not happened.

    Attributes:
        asked, granted: When the store was asked, and when its yes had come.
        until: The last deadline; inf: there is none.
        start, end: Of the run's function.
        lost, freed: When the lock was lost, and when its unlock was answered.
        is_done: Whether the function came to its end.
        confirmed: What the store said to the unlock; None: it was not asked, or did not answer.
    """

    worker: str
    key: str
    due: int
    fence: int
    attempt: int
    asked: float
    granted: float
    until: float = inf
    start: float = inf
    end: float = inf
    lost: float = inf
    freed: float = inf
    is_done: bool = False
    confirmed: bool | None = None

    def believes(self, gone: float) -> tuple[float, float]:
        """Return when the holder took the key for its own; *gone* is when it died."""
        return self.granted, min(self.end, self.freed, self.lost, self.until, gone)


@dataclass(slots=True)
class Pass:
    """A replica's last word about an occurrence that it did not run."""

    worker: str
    reason: str
    asked: float
    at: float


@dataclass(slots=True)
class Book:
    """All asks, holdings and refusals of a history.

    Attributes:
        starts: The functions' starts by occurrence.
        strays: Lines that no grant explains.
    """

    asks: dict[tuple[str, int], list[Ask]] = field(default_factory=lambda: defaultdict(list))
    holdings: list[Holding] = field(default_factory=list)
    starts: dict[tuple[str, int], list[Event]] = field(default_factory=lambda: defaultdict(list))
    passes: dict[tuple[str, int, str], Pass] = field(default_factory=dict)
    strays: list[tuple[Event, str]] = field(default_factory=list)
    _asking: dict[tuple[str, str, int], Ask] = field(default_factory=dict)
    _held: dict[tuple[str, str, int], Holding] = field(default_factory=dict)

    @classmethod
    def of(cls, history: Iterable[Event]) -> Book:
        """Read a history, which must be in the order of time."""
        book = cls()
        for event in history:
            if event.key is not None:
                book._hear(event)
        return book

    def _hear(self, event: Event) -> None:
        match event.event:
            case "asked":
                self._hear_ask(event)
            case "granted":
                self._hear_grant(event)
            case "refused":
                self._hear_refusal(event)
            case "passed":
                ask = self._asking.get(_who(event))
                since = event.at if ask is None else ask.at
                self._pass(event, since)
            case _:
                self._hear_holder(event)

    def _hear_ask(self, event: Event) -> None:
        ask = Ask(event.worker, event.key or "", event.due or 0, event.at)
        self._asking[_who(event)] = ask
        self.asks[ask.key, ask.due].append(ask)

    def _hear_grant(self, event: Event) -> None:
        ask = self._answer(event, event.due if event.asked is None else event.asked, "granted")
        holding = Holding(
            event.worker,
            event.key or "",
            event.due or 0,
            event.fence or 0,
            event.attempt or 1,
            event.at if ask is None else ask.at,
            event.at,
            inf if event.until is None else event.until,
        )
        if ask is None:
            self.strays.append((event, "it was granted and had not been asked for"))
        self.holdings.append(holding)
        self._held[event.worker, holding.key, holding.fence] = holding

    def _hear_refusal(self, event: Event) -> None:
        ask = self._answer(event, event.due, event.reason or "")
        if ask is None:
            self.strays.append((event, "it was refused and had not been asked for"))
        else:
            self._pass(event, ask.at)

    def _hear_holder(self, event: Event) -> None:
        holding = self._held.get((event.worker, event.key or "", event.fence or 0))
        if event.event == "start":
            self.starts[event.key or "", event.due or 0].append(event)
        if holding is None:
            self.strays.append((event, "there was no grant with this fence"))
            return
        match event.event:
            case "renewed":
                holding.until = inf if event.until is None else event.until
            case "start":
                holding.start = event.at
            case "end":
                holding.end, holding.is_done = event.at, bool(event.done)
            case "lost":
                holding.lost = event.at
            case "freed":
                holding.freed, holding.confirmed = event.at, event.held

    def _answer(self, event: Event, due: int | None, answer: str) -> Ask | None:
        ask = self._asking.get((event.worker, event.key or "", due or 0))
        if ask is None or ask.answer is not None:
            return None
        ask.answered, ask.answer = event.at, answer
        return ask

    def _pass(self, event: Event, asked: float) -> None:
        passed = Pass(event.worker, event.reason or "", asked, event.at)
        self.passes[event.key or "", event.due or 0, event.worker] = passed


def _who(event: Event) -> tuple[str, str, int]:
    return event.worker, event.key or "", event.due or 0
