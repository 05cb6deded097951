"""``python -m tests.fleet.cluster --seeds 1000``: the law for as many seeds as asked."""
# ruff: noqa: T201 - a command's output

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.fleet.cluster.scenario import play


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many scenarios")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--history", action="store_true", help="print the histories")
    options = parser.parse_args()
    began = time.monotonic()
    explained: Counter[str] = Counter()
    total: Counter[str] = Counter()
    failover = 0.0
    for seed in range(options.first, options.first + options.seeds):
        result = play(seed)
        report = result.report
        total += Counter(occurrences=report.occurrences, runs=report.runs, faults=report.faults)
        total += Counter(finding.kind for finding in report.findings)
        explained += report.explained
        failover = max(failover, report.failover)
        if options.history:
            print(result.lines(), end="")
        for finding in report.findings:
            print(f"seed {seed}: {finding}", flush=True)
    findings = " ".join(f"{kind} {total[kind]}" for kind in ("double", "lost", "overlap", "fence"))
    print(
        f"scenarios {options.seeds} occurrences {total['occurrences']} runs {total['runs']} "
        f"faults {total['faults']} {findings} stray {total['stray']} "
        f"longest failover {failover:.1f} s, {time.monotonic() - began:.0f} s"
    )
    print("not completed, and explained:", dict(sorted(explained.items())))
    return int(any(total[kind] for kind in ("double", "lost", "overlap", "fence", "stray")))


if __name__ == "__main__":
    sys.exit(main())
