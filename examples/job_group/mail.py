"""The jobs of another part."""

from __future__ import annotations

from aiosched import JobGroup

jobs = JobGroup()


@jobs.every(seconds=30, tags=["mail"])
def fetch() -> None:  # not async: it runs in a worker thread
    print("mail fetched")
