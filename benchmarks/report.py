"""The table of a run, and the page that keeps it."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from typing import Literal

from benchmarks.harness import Figures, Line

_HEAD = ("line", "measured", "first figure", "aim", "reached?")

_PAGE = """\
# What aiosched costs

Written by `{command}` with {python} on {system}. {taken}, each scenario in a process
of its own; costs are processor time. They depend on the machine: what counts are the ratios, as all
contestants ran in this one run. F is a bare `asyncio.create_task` of the same no-op coroutine, in
the same process. A line with a dot belongs to the one above it. The first figure must be reached;
the aim is what a bare prototype reached.

{table}
"""


_TAKEN = {
    "full": "Figures are medians of several runs",
    "quick": "Each figure was taken once",
}


def page_of(table: str, command: str, mode: Literal["quick", "full"]) -> str:
    """Return the page for *table*, which came of *command*."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return _PAGE.format(
        command=command, python=python, system=platform.system(), table=table, taken=_TAKEN[mode]
    )


def table_of(lines: Iterable[Line], figures: Figures) -> str:
    """Return the table in Markdown; a line whose scenario was left out is left out, too."""
    rows = [_HEAD, *(_row(line, figures) for line in lines if line.of in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = [_joined(row, widths) for row in rows]
    rule = "|".join(
        "-" * (width + 2 - (at > 0)) + ":" * (at > 0) for at, width in enumerate(widths)
    )
    return "\n".join((shown[0], f"|{rule}|", *shown[1:]))


def _joined(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
    return f"| {' | '.join(cells)} |"


def _row(line: Line, figures: Figures) -> tuple[str, ...]:
    value = figures[line.of] / (1 if line.over is None else figures[line.over])
    bounds = [_bound(line, bound) for bound in (line.first, line.aim)]
    return (line.what, _figure(value, line.unit), *bounds, _verdict(line, value))


def _bound(line: Line, bound: float | None) -> str:
    if bound is None:
        return ""
    return f"{'≥' if line.more else '≤'} {bound:g} {line.unit}".rstrip()


def _verdict(line: Line, value: float) -> str:
    if line.first is None:
        return ""
    if not _reaches(line, value, line.first):
        return "NO"
    if line.aim is None:
        return "yes"
    return "aim" if _reaches(line, value, line.aim) else "first"


def _reaches(line: Line, value: float, bound: float) -> bool:
    return value >= bound if line.more else value <= bound


def _figure(value: float, unit: str) -> str:
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()
