"""`python -m benchmarks [--quick]`: measure everything, print the table, write RESULTS.md."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Literal

from benchmarks import (
    adding,
    bursts,
    electors,
    files,
    locklatency,
    postgreslocks,
    redislocks,
    redisrivals,
    runs,
    triggers,
    wakeups,
)
from benchmarks.harness import measure_all
from benchmarks.report import page_of, table_of

TOPICS = (
    runs.TOPIC,
    adding.TOPIC,
    bursts.TOPIC,
    wakeups.TOPIC,
    triggers.TOPIC,
    files.TOPIC,
    redislocks.TOPIC,
    redisrivals.TOPIC,
    postgreslocks.TOPIC,
    locklatency.TOPIC,
    electors.TOPIC,
)
SCENARIOS = {each.name: each for topic in TOPICS for each in topic.scenarios}
RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each once, in less than a minute")
    parser.add_argument(
        "--scenario", choices=SCENARIOS, metavar="NAME", help="only this one, here, as JSON"
    )
    options = parser.parse_args()
    mode: Literal["quick", "full"] = "quick" if options.quick else "full"
    if options.scenario:
        print(json.dumps(SCENARIOS[options.scenario].measure(mode)))
        return
    figures = measure_all(SCENARIOS.values(), mode)
    table = table_of((line for topic in TOPICS for line in topic.lines), figures)
    print(table)
    command = "nox -s bench -- --quick" if options.quick else "nox -s bench"
    RESULTS.write_text(page_of(table, command, mode), encoding="utf-8")


if __name__ == "__main__":
    main()
