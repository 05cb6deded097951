"""Two jobs and a scheduler: `python examples/quickstart.py`, Ctrl-C to drain and stop."""

from __future__ import annotations

from aiosched import Run, Scheduler

scheduler = Scheduler()


@scheduler.every(seconds=1)
async def refresh() -> None:
    print("refreshed")


@scheduler.cron("0 9 * * MON-FRI", tz="Europe/Berlin", timeout=60)
async def report(run: Run) -> None:  # a parameter annotated Run receives the run
    print(f"reporting what was due at {run.due_at}, try {run.attempt}")


if __name__ == "__main__":
    scheduler.run()
