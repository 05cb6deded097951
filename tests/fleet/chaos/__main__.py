"""``python -m tests.fleet.chaos --seeds N --backend B``: as many drills as asked, and one line."""
# ruff: noqa: T201 - a command's output

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.fleet.chaos.broken import BROKEN
from tests.fleet.chaos.stores import BACKENDS
from tests.fleet.chaos.theatre import Theatre, as_json, line


def main() -> int:
    options = _options()
    seeds = [options.seed] if options.seed is not None else _seeds(options)
    totals: dict[str, Counter[str]] = {}
    failovers: Counter[str] = Counter()
    if options.part:
        for text in _play(options, seeds):
            print(text, flush=True)
        return 0
    for text in _parts(options, seeds) if options.jobs > 1 else _play(options, seeds):
        said = json.loads(text)
        backend = said["backend"]
        totals.setdefault(backend, Counter()).update(said["tally"])
        failovers[backend] = max(failovers[backend], said["failover"])
        for word in said["words"]:
            print(f"{backend} --seed {said['seed']}: {word}\n  {said['kept']}", flush=True)
    for backend, total in sorted(totals.items()):
        print(f"{backend}: {line(total, failovers[backend])}")
        why = {name[10:]: n for name, n in sorted(total.items()) if name.startswith("explained ")}
        print(f"  not completed, and explained: {why}", file=sys.stderr)
    played = sum(total["scenarios"] for total in totals.values())
    wrong = ("double", "lost", "overlap", "fence", "stray", "leftovers")
    findings = sum(total[kind] for total in totals.values() for kind in wrong)
    return int(findings > 0 or played < len(seeds))


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="nox -s chaos --", description=__doc__)
    parser.add_argument("--backend", required=True, choices=("postgres", *BACKENDS))
    parser.add_argument("--seeds", type=int, default=10, help="how many scenarios")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="this scenario alone")
    parser.add_argument("--jobs", type=int, default=1, help="how many side by side")
    keep = Path(tempfile.gettempdir()) / "aiosched-chaos-histories"
    parser.add_argument("--keep", type=Path, default=keep, help="where histories are kept")
    parser.add_argument("--broken", default="", choices=BROKEN, help="break the lockers, and see")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    return parser.parse_args()


def _seeds(options: Any) -> list[int]:
    mine, of = map(int, (options.part or "0/1").split("/"))
    return list(range(options.first, options.first + options.seeds))[mine::of]


def _play(options: Any, seeds: list[int]) -> Iterator[str]:
    """Yield a line of JSON for each scenario."""
    for backend, its in _shared_out(options.backend, seeds).items():
        if not its:
            continue
        with Theatre(backend, options.keep, options.broken) as theatre:
            for seed in its:
                yield json.dumps({"backend": backend, **json.loads(as_json(theatre.play(seed)))})


def _shared_out(backend: str, seeds: list[int]) -> dict[str, list[int]]:
    """PostgreSQL's two modes take turns."""
    if backend != "postgres":
        return {backend: seeds}
    even = [seed for seed in seeds if seed % 2 == 0]
    odd = [seed for seed in seeds if seed % 2]
    return {"postgres-advisory": even, "postgres-lease": odd}


def _parts(options: Any, seeds: list[int]) -> Iterator[str]:
    """Yield what several processes say, each of which plays a part of the seeds."""
    command = [sys.executable, "-m", __package__ or "", *sys.argv[1:]]
    with ExitStack() as stack:
        parts = []
        for number in range(options.jobs):
            said = stack.enter_context(tempfile.TemporaryFile("w+"))
            part = [*command, "--part", f"{number}/{options.jobs}"]
            parts.append((subprocess.Popen(part, stdout=said), said))
        for process, said in parts:
            process.wait()
            said.seek(0)
            yield from said.read().splitlines()


if __name__ == "__main__":
    sys.exit(main())
