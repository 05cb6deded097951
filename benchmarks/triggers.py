"""What it costs to find the next moment, beside croniter and cronsim."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from aiosched import Cron, Every
from benchmarks.harness import MICRO, Figures, Line, Scenario, Topic, each_us

_ZONE = "Europe/Berlin"
_START = datetime(2026, 3, 1, tzinfo=UTC)
_END = datetime(2046, 3, 1, tzinfo=UTC)
_EXPRESSIONS = {
    "minute": ("* * * * *", "*/5 * * * *", "7-59/15 * * * *"),
    "hour": ("0 * * * *", "30 */2 * * *", "15 9 * * *"),
    "weekday": ("0 9 * * MON-FRI", "*/10 8-18 * * 1-5", "0 3 * * SUN"),
    "sparse": ("0 0 29 2 *", "0 12 13 * *", "0 0 1 1 *"),
}


def measure_ours(steps: int) -> Figures:
    """Ask each expression for moment after moment, and at random; the dearest of a kind counts."""
    figures: Figures = {}
    for kind, expressions in _EXPRESSIONS.items():
        triggers = [Cron(each, tz=_ZONE) for each in expressions]
        figures[kind] = max(_ask(each, _row(each, steps)) for each in triggers)
        figures[f"{kind} at random"] = max(_ask(each, _dice(steps)) for each in triggers)
    every = Every(seconds=90, anchor=_START)
    return {
        **figures,
        "made again": each_us([lambda: Cron("*/5 * * * *", tz=_ZONE)] * steps),
        "every": _ask(every, _row(every, steps)),
    }


def _row(trigger: Cron | Every, steps: int) -> list[datetime]:
    """Return moments that follow each other; from the start again when 20 years are over."""
    row: list[Any] = []
    while len(row) < steps:
        row.append(_START.astimezone(ZoneInfo(_ZONE)))
        while len(row) < steps and (found := trigger.next_after(row[-1])) < _END:
            row.append(found)
    return row


def _dice(steps: int) -> list[datetime]:
    dice = random.Random(0)
    return [_START + dice.random() * (_END - _START) for _ in range(steps)]


def _ask(trigger: Cron | Every, moments: list[datetime]) -> float:
    """Return microseconds for one of *moments*, when all have been asked for once before."""
    next_after = trigger.next_after
    for moment in moments:
        next_after(moment)
    began = time.process_time()
    for moment in moments:
        next_after(moment)
    return (time.process_time() - began) / len(moments) * MICRO


def measure_croniter(steps: int) -> Figures:
    """Follow each expression with croniter."""
    from croniter import croniter  # noqa: PLC0415 - here it is a rival

    start = _START.astimezone(ZoneInfo(_ZONE))
    return _dearest(lambda each: croniter(each, start, ret_type=datetime).get_next, steps)


def measure_cronsim(steps: int) -> Figures:
    """Follow each expression with cronsim."""
    from cronsim import CronSim  # noqa: PLC0415 - a rival, only there for benchmarks

    start = _START.astimezone(ZoneInfo(_ZONE))
    return _dearest(lambda each: CronSim(each, start).__next__, steps)


def _dearest(follow: Callable[[str], Callable[[], object]], steps: int) -> Figures:
    return {
        kind: max(each_us([follow(each)] * steps) for each in expressions)
        for kind, expressions in _EXPRESSIONS.items()
    }


def _lines(kind: str, first: float) -> tuple[Line, ...]:
    return (
        Line(f"Cron.next_after with a zone, {kind} expressions", f"cron:{kind}", "µs", first=first),
        Line("· at random moments", f"cron:{kind} at random", "µs"),
        Line("· croniter", f"croniter:{kind}", "µs"),
        Line("· cronsim", f"cronsim:{kind}", "µs"),
    )


TOPIC = Topic(
    scenarios=(
        Scenario(
            "cron",
            measure_ours,
            full={"steps": 5_000},
            quick={"steps": 5_000},
            tiny={"steps": 3},
        ),
        Scenario(
            "croniter",
            measure_croniter,
            full={"steps": 500},
            quick={"steps": 300},
            tiny={"steps": 3},
        ),
        Scenario(
            "cronsim",
            measure_cronsim,
            full={"steps": 500},
            quick={"steps": 300},
            tiny={"steps": 3},
            needs=("cronsim",),
        ),
    ),
    lines=(
        *_lines("minute", 3),
        *_lines("hour", 3),
        *_lines("weekday", 3),
        *_lines("sparse", 30),
        Line("Cron made again: expressions are interned", "cron:made again", "µs"),
        Line("Every.next_after", "cron:every", "µs"),
    ),
)
