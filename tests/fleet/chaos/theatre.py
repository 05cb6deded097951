"""Where drills are held one after the other: servers and a zygote, started once."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fleet.chaos.drill import Drill
from tests.fleet.chaos.plan import Plan, plan_of
from tests.fleet.chaos.stores import backend_of
from tests.fleet.chaos.zygote import Zygote
from tests.fleet.checker import Report, check
from tests.fleet.history import read
from tests.fleet.rules import Rules


@dataclass(slots=True)
class Result:
    """What a scenario came to.

    Attributes:
        faults: That were injected.
        kept: Where its history is, if there was something to find.
    """

    seed: int
    report: Report
    faults: int
    troubles: list[str] = field(default_factory=list)
    kept: Path | None = None

    @property
    def is_sound(self) -> bool:
        return not self.report.findings and not self.troubles

    def tally(self) -> Counter[str]:
        """Return its figures."""
        report = self.report
        kinds = Counter(finding.kind for finding in report.findings)
        what = {"scenarios": 1, "occurrences": report.occurrences, "runs": report.runs}
        explained = {f"explained {why}": number for why, number in report.explained.items()}
        more = {"faults": self.faults, "leftovers": len(self.troubles)}
        return Counter({**what, **more, **kinds, **explained})


class Theatre:
    """A store and workers for it.

    Args:
        backend: See `stores.BACKENDS`.
        keep: Histories with findings go there.
        broken: What is wrong with the workers' lockers; empty: nothing.
    """

    def __init__(self, backend: str, keep: Path, broken: str = "") -> None:
        self._name = backend
        self._keep = keep
        self._broken = broken

    def __enter__(self) -> Self:
        # In memory where that can be had: how slow a disk is has nothing to do with it.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._home = Path(tempfile.mkdtemp(prefix="aiosched-chaos-", dir=memory))
        self._home.chmod(0o755)  # PostgreSQL runs as another user
        self._backend = backend_of(self._name, self._home)
        for server in self._backend.servers:
            server.start()
        self._errors = self._home / "stderr"
        self._zygote = Zygote(self._errors)
        self._zygote.living()  # its answer says that it is ready to fork
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zygote.close()
        for server in self._backend.servers:
            server.resume()
            server.stop()
        shutil.rmtree(self._home)

    def play(self, seed: int, change: Callable[[Plan], Plan] = lambda plan: plan) -> Result:
        """Play the scenario of *seed*, changed by *change*, and judge it."""
        plan = change(plan_of(seed, servers=len(self._backend.servers)))
        self._backend.begin()
        history = self._home / "history"
        history.unlink(missing_ok=True)
        self._errors.write_bytes(b"")
        rules, troubles = asyncio.run(self._drill(plan, history))
        for server in self._backend.servers:
            server.ensure()
        troubles += self._backend.leftovers()
        events = read([history])
        troubles += self._crashes()
        result = Result(seed, check(events, rules), len(plan.faults), troubles)
        if not result.is_sound:
            self._keep.mkdir(parents=True, exist_ok=True)
            result.kept = self._keep / f"{self._name}-{seed}.jsonl"
            result.kept.write_text("".join(f"{event.line()}\n" for event in events))
            words = [*map(str, result.report.findings), *troubles, repr(plan), repr(rules)]
            result.kept.with_suffix(".txt").write_text("\n".join(words))
        return result

    async def _drill(self, plan: Plan, history: Path) -> tuple[Rules, list[str]]:
        drill = Drill(plan, self._backend, self._zygote, history, self._broken)
        await drill.run()
        return drill.rules(), drill.troubles

    def _crashes(self) -> list[str]:
        """Return what the workers wrote to stderr."""
        text = self._errors.read_text(errors="replace").strip()
        return [f"stderr: {text[-2000:]}"] if text else []


def line(total: Counter[str], failover: float) -> str:
    """Return the figures of many scenarios in one line."""
    names = ("scenarios", "occurrences", "runs", "faults")
    findings = ("double", "lost", "overlap", "fence", "stray", "leftovers")
    figures = " ".join(f"{name} {total[name]}" for name in (*names, *findings))
    return f"{figures} longest failover {failover:.2f} s"


def as_json(result: Result) -> str:
    """Return what another process needs to know of a result."""
    words = [*map(str, result.report.findings), *result.troubles]
    return json.dumps(
        {
            "seed": result.seed,
            "tally": result.tally(),
            "failover": result.report.failover,
            "kept": None if result.kept is None else str(result.kept),
            "words": words,
        }
    )
