"""Every scenario of the benchmarks goes through at a tiny size; no figure is looked at."""

from __future__ import annotations

import importlib.util

import pytest

from benchmarks.__main__ import SCENARIOS, TOPICS
from benchmarks.harness import Line, Scenario
from benchmarks.report import table_of

pytestmark = pytest.mark.unmeasured

# Rivals are installed by `nox -s bench`; where they are not, there is nothing to measure them by.
# Scenarios that differ in size only are one.
HERE = {
    (scenario.run, *scenario.fixed.items()): scenario
    for scenario in SCENARIOS.values()
    if all(importlib.util.find_spec(package) for package in scenario.needs)
}
LINES = [line for topic in TOPICS for line in topic.lines]


@pytest.mark.parametrize("scenario", HERE.values(), ids=lambda scenario: scenario.name)
def test_a_scenario_yields_the_figures_of_its_lines(scenario: Scenario) -> None:
    figures = scenario.measure("tiny")
    wanted = {
        figure
        for line in LINES
        for name, _, figure in ((line.of or "").partition(":"), (line.over or "").partition(":"))
        if name == scenario.name
    }
    if scenario.name == "file":
        wanted &= {"1", "10"}  # at its tiny size it leaves out the others
    assert wanted <= set(figures)


def test_every_line_is_of_a_scenario() -> None:
    figures = {of for line in LINES for of in (line.of, line.over) if of is not None}
    assert {figure.partition(":")[0] for figure in figures} <= set(SCENARIOS)


@pytest.mark.parametrize(
    ("value", "verdict"), [(12.0, "NO"), (8.0, "first"), (4.0, "aim"), (10.0, "first")]
)
def test_a_line_says_what_was_reached(value: float, verdict: str) -> None:
    line = Line("held", "burst:held", "ms", first=10, aim=5)
    assert table_of([line], {"burst:held": value}).splitlines()[-1].endswith(f"{verdict} |")


def test_a_line_of_a_ratio_may_want_more() -> None:
    line = Line("rival", "rival:us", "×", over="ours:us", first=6, more=True)
    table = table_of([line], {"rival:us": 42.0, "ours:us": 6.0})
    assert table.splitlines()[-1] == "| rival |      7 × |        ≥ 6 × |     |      yes |"


def test_a_line_whose_scenario_was_left_out_is_left_out() -> None:
    assert len(table_of([Line("held", "burst:held", "ms")], {}).splitlines()) == 2
