"""Who was well when: the lives of workers, and their troubles and the store's, as intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from tests.fleet.history import Event
from tests.fleet.rules import Rules

Span = tuple[float, float]


@dataclass(slots=True)
class Life:
    """One incarnation of a worker.

    Attributes:
        up, leaving, gone: When it was ready, began to leave, and was no more.
        killed: Whether it was killed; it may have been so before it was ready.
        troubles: When it was stopped, cut off, or without a turn of its loop.
        cut_off: Those of the network alone.
        still: Those in which it did nothing at all.
    """

    up: float = inf
    leaving: float = inf
    gone: float = inf
    killed: bool = False
    troubles: list[Span] = field(default_factory=list)
    cut_off: list[Span] = field(default_factory=list)
    still: list[Span] = field(default_factory=list)

    def is_well(self, span: Span, recovery: float) -> bool:
        """Tell whether it served undisturbed during all of *span*."""
        serves = self.up + recovery <= span[0] and min(self.leaving, self.gone) >= span[1]
        return serves and not _meets(self.troubles, span, recovery)


class Timeline:
    """The lives and troubles of a history."""

    def __init__(self, history: Iterable[Event], rules: Rules) -> None:
        self.lives: dict[str, Life] = defaultdict(Life)
        self.faults = 0
        self.end = 0.0
        self._rules = rules
        self.emptied: list[float] = []
        self._outages: list[Span] = []
        self._down: dict[str, float] = {}
        self._open: dict[tuple[str, str], float] = {}
        for event in history:
            self.end = max(self.end, event.at)
            self._hear(event)
        for (worker, what), since in self._open.items():
            self._note(worker, what, (since, inf))
        if self._is_out():
            self._outages.append((self._out_since(), inf))

    def well(self, span: Span) -> list[str]:
        """Return who was well in all of *span*, the store included."""
        recovery = self._rules.recovery
        if _meets(self._outages, span, recovery):
            return []
        return [name for name, life in self.lives.items() if life.is_well(span, recovery)]

    def is_quiet(self, worker: str, span: Span) -> bool:
        """Tell whether neither *worker* nor the store had any trouble in *span*."""
        life, recovery = self.lives[worker], self._rules.recovery
        ends = min(life.gone, life.leaving) < span[1]
        return not ends and not _meets([*life.troubles, *self._outages], span, recovery)

    def stood_still_since(self, worker: str, at: float) -> float:
        """Return since when *worker* had had no turn shortly before *at*; inf: it had."""
        slack = self._rules.slack
        still = self.lives[worker].still
        return min((begin for begin, end in still if begin <= at <= end + slack), default=inf)

    def has_lost_connections(self, worker: str, span: Span) -> bool:
        """Tell whether those of *worker* may have ended in *span*, by network or server."""
        return _meets([*self.lives[worker].cut_off, *self._outages], span, 0)

    def is_calm(self, span: Span) -> bool:
        """Tell whether nobody at all had any trouble, came or went in *span*."""
        recovery = self._rules.recovery
        edges = [
            (at, at) for life in self.lives.values() for at in (life.up, life.leaving, life.gone)
        ]
        troubles = [span for life in self.lives.values() for span in life.troubles]
        return not _meets([*edges, *troubles, *self._outages], span, recovery)

    def may_hold_until(self, worker: str, since: float) -> float:
        """Return until when a key that *worker* left behind at *since* may be busy."""
        rules, life = self._rules, self.lives[worker]
        cut_off = _meets(life.cut_off, (since, since + rules.slack), rules.recovery)
        ttl = rules.ttl if rules.store == "lease" or (rules.store == "session" and cut_off) else 0
        until = since + ttl + rules.slack
        # The store may hear late of what was sent before.
        for begin, end in [*self._outages, *life.cut_off]:
            if begin <= until and end >= since:
                until = max(until, end + ttl + rules.slack)
        return until

    # ── how it is made ────────────────────────────────────────────────────────────────────────

    def _hear(self, event: Event) -> None:
        match event.event:
            case "up":
                self.lives[event.worker].up = event.at
            case "leaving":
                self.lives[event.worker].leaving = event.at
            case "down":
                self.lives[event.worker].gone = event.at
            case "killed":
                self.faults += 1
                life = self.lives[event.worker]
                life.gone, life.killed = min(life.gone, event.at), True
            case "stalled":
                began = event.at - (event.seconds or 0.0)
                self._note(event.worker, "stalled", (began, event.at))
            case "stopped" | "continued" | "network":
                self._hear_worker(event)
            case "server":
                self._hear_server(event)

    def _hear_worker(self, event: Event) -> None:
        what = "network" if event.event == "network" else "stopped"
        since = self._open.pop((event.worker, what), None)
        if since is not None:
            self._note(event.worker, what, (since, event.at))
        if event.event == "stopped" or event.mode not in {None, "fine"}:
            self.faults += 1
            self._open[event.worker, what] = event.at

    def _hear_server(self, event: Event) -> None:
        was_out = self._is_out()
        since = self._out_since() if was_out else 0.0
        server = event.server or ""
        if event.mode == "empty":
            self.emptied.append(event.at)
        if event.mode == "fine":
            self._down.pop(server, None)
        else:
            self.faults += 1
            self._down.setdefault(server, event.at)
        if was_out and not self._is_out():
            self._outages.append((since, event.at))

    def _is_out(self) -> bool:
        return len(self._down) > self._rules.servers // 2

    def _out_since(self) -> float:
        majority = self._rules.servers // 2
        return sorted(self._down.values())[majority]

    def _note(self, worker: str, what: str, span: Span) -> None:
        life = self.lives[worker]
        life.troubles.append(span)
        (life.cut_off if what == "network" else life.still).append(span)


def _meets(spans: Iterable[Span], span: Span, recovery: float) -> bool:
    """Tell whether any of *spans*, with what follows it, has a moment in common with *span*."""
    return any(begin <= span[1] and end + recovery >= span[0] for begin, end in spans)
