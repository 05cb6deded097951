"""What it costs to find the next moment, beside croniter and cronsim."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aiosched import Cron, Every
from benchmarks.harness import MICRO, Figures, Line, Scenario, Topic, each_us

_ZONE = "Europe/Berlin"
_START = datetime(2026, 3, 1, tzinfo=UTC)
_EXPRESSIONS = {
    "minute": ("* * * * *", "*/5 * * * *", "7-59/15 * * * *"),
    "hour": ("0 * * * *", "30 */2 * * *", "15 9 * * *"),
    "weekday": ("0 9 * * MON-FRI", "*/10 8-18 * * 1-5", "0 3 * * SUN"),
    "sparse": ("0 0 29 2 *", "0 12 13 * *", "0 0 1 1 *"),
}


def measure_ours(steps: int) -> Figures:
    """Follow each expression, and ask it at random; the dearest of a kind counts."""
    figures: Figures = {}
    for kind, expressions in _EXPRESSIONS.items():
        triggers = [Cron(each, tz=_ZONE) for each in expressions]
        figures[kind] = max(_follow(trigger.next_after, steps) for trigger in triggers)
        figures[f"{kind} at random"] = max(_ask(trigger, steps) for trigger in triggers)
    again = [lambda: Cron("*/5 * * * *", tz=_ZONE)] * steps
    return {
        **figures,
        "made again": each_us(again),
        "every": _follow(Every(seconds=90, anchor=_START).next_after, steps),
    }


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


def _follow(next_after: Callable[[datetime], datetime | None], steps: int) -> float:
    """Return microseconds a step. It starts again every 20 years, as years have an end."""
    zone = ZoneInfo(_ZONE)
    start = _START.astimezone(zone)
    end = start + timedelta(days=20 * 365)
    moment: Any = start
    began = time.process_time()
    for _ in range(steps):
        moment = next_after(moment)
        if moment > end:
            moment = start
    return (time.process_time() - began) / steps * MICRO


def _ask(trigger: Cron, steps: int) -> float:
    return each_us(_askings(trigger, steps))


def _askings(trigger: Cron, steps: int) -> Iterable[Callable[[], object]]:
    dice = random.Random(0)
    zone = ZoneInfo(_ZONE)
    for _ in range(steps):
        moment = (_START + timedelta(seconds=dice.uniform(0, 20 * 365 * 86_400))).astimezone(zone)
        yield lambda at=moment: trigger.next_after(at)


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
            full={"steps": 20_000},
            quick={"steps": 5_000},
            tiny={"steps": 3},
        ),
        Scenario(
            "croniter",
            measure_croniter,
            full={"steps": 1_000},
            quick={"steps": 300},
            tiny={"steps": 3},
        ),
        Scenario(
            "cronsim",
            measure_cronsim,
            full={"steps": 1_000},
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
