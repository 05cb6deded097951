"""Expressions that people use, as they were found, with where they were found beside them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from aiosched.moments import to_us
from aiosched.triggers import BaseTrigger, Cron

LINES = [
    line.split("\t")
    for line in (Path(__file__).parent / "crontabs.tsv").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
EXPRESSIONS = [expr for expr, _ in LINES]
PLAIN = [
    expr
    for expr in EXPRESSIONS
    if expr[0] not in "@TCH" and "?" not in expr and len(expr.split()) == 5
]
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


PLACES = [
    ("UTC", NEW_YEAR),
    ("Europe/Berlin", datetime(2026, 3, 28, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 24, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 10, 31, tzinfo=UTC)),
]


def hundred(trigger: BaseTrigger, begin: datetime) -> list[int]:
    return list(islice(trigger.upcoming(to_us(begin)), 100))


def test_there_are_many_and_all_say_where_they_are_from():
    assert len(LINES) >= 150
    assert len(set(EXPRESSIONS)) == len(EXPRESSIONS)
    assert all(origin for _, origin in LINES)


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_it_is_read_and_names_moments(expr):
    found = hundred(Cron(expr).bind(name="job", tz=UTC), NEW_YEAR)
    assert len(found) == 100
    assert found == sorted(set(found))
    assert found[0] > to_us(NEW_YEAR)


@pytest.mark.parametrize(
    "expr", [expr for expr in EXPRESSIONS if "H" not in expr.replace("THU", "")]
)
def test_the_command_line_previews_it(expr, capsys):
    run_app = pytest.importorskip("aiosched.cli._app").run_app
    assert run_app(["next", expr, "-n", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize("expr", PLAIN)
def test_its_next_hundred_moments_are_those_of_cronsim(expr):
    cronsim = pytest.importorskip("cronsim")
    for zone, begin in PLACES:
        trigger = Cron(expr, tz=zone)
        theirs = islice(cronsim.CronSim(expr, begin.astimezone(trigger.zone)), 100)
        assert hundred(trigger, begin) == [to_us(each) for each in theirs], zone
