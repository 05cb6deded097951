"""The jobs of one part of a service, collected without knowing the scheduler."""

from __future__ import annotations

from aiosched import JobGroup

jobs = JobGroup()


@jobs.daily(at="02:30", tz="Europe/Berlin", tags=["money"])
async def send_invoices() -> None:
    print("invoices sent")


@jobs.monthly(on=-1, at="23:00", tz="Europe/Berlin", tags=["money"])
async def close_the_month() -> None:
    print("month closed")
