"""What the log tells of runs that did not happen, of attempts, and of promises nobody keeps."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from aiosched import Every, MemoryLocker, Outcome, Retry
from tests.engine.support import NEVER, Make, nothing


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "aiosched")

    def said(level: str = "") -> list[str]:
        return [
            record.getMessage()
            for record in caplog.records
            if record.name == "aiosched" and record.levelname.startswith(level)
        ]

    return said


async def test_a_run_that_meets_its_limit_is_told_of(make: Make, lines: Any) -> None:
    async def long() -> None:
        await asyncio.sleep(1.5)

    async with make() as scheduler:
        scheduler.add(long, Every(seconds=1), name="long")
        await asyncio.sleep(2.2)
    assert [line.partition(" ")[2] for line in lines("INFO")] == ["was refused: job_limit, running"]


async def test_a_misfire_is_a_warning_and_what_was_coalesced_is_not(
    make: Make, lines: Any, virtual_time: Any
) -> None:
    async with make() as scheduler:
        scheduler.add(nothing, Every(seconds=1), name="strict", misfire_grace=0.5)
        scheduler.add(nothing, Every(seconds=1), name="usual")
        asyncio.get_running_loop()._jump(5)  # as if somebody had blocked the loop
        await asyncio.sleep(0.1)
    assert any("strict@" in line and "missed: misfire, too_late" in line for line in lines("WARN"))
    assert not any("usual@" in line for line in lines("WARN") + lines("INFO"))
    assert any("usual@" in line and "coalesce, superseded" in line for line in lines("DEBUG"))


async def test_attempts_that_failed_are_told_of(make: Make, lines: Any) -> None:
    async def fails() -> None:
        raise ValueError("not yet")

    async with make() as scheduler:
        job = scheduler.add(fails, NEVER, name="fails", retry=Retry(3, delay=1))
        await job.run_now()
    assert lines("INFO") == [
        "job fails failed in attempt 1 of 3: ValueError('not yet')",
        "job fails failed in attempt 2 of 3: ValueError('not yet')",
    ]
    assert lines("ERROR") == ["job fails failed: ValueError('not yet')"]


class Excludes:
    async def lock(self, key: str) -> Any: ...


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"delivery": "at_least_once"}, "delivery='at_least_once'"),
        ({"catch_up": "all"}, "catch_up='all'"),
        (
            {"delivery": "at_least_once", "catch_up": "latest", "locker": Excludes()},
            "delivery='at_least_once' and catch_up='latest'",
        ),
    ],
)
async def test_what_nobody_keeps_is_told_at_the_start_and_of_jobs_that_come_later(
    make: Make, lines: Any, options: dict[str, Any], told: str
) -> None:
    scheduler = make()
    scheduler.add(nothing, NEVER, name="early", **options)
    vain = f"{told} needs a locker that claims, and does nothing without"
    assert not any(vain in line for line in lines())
    async with scheduler:
        assert f"job early: {vain}" in lines("WARN")
        scheduler.add(nothing, NEVER, name="late", **options)
        assert f"job late: {vain}" in lines("WARN")


async def test_what_is_kept_is_not_told(make: Make, lines: Any) -> None:
    scheduler = make(locker=MemoryLocker())
    scheduler.add(nothing, NEVER, name="a", delivery="at_least_once", catch_up="all")
    async with scheduler:
        scheduler.add(nothing, NEVER, name="b", delivery="at_least_once")
    assert lines("WARN") == []


async def test_a_listener_for_a_job_that_does_not_exist_is_told_of(make: Make, lines: Any) -> None:
    scheduler = make()
    scheduler.add(nothing, NEVER, name="shop:report")
    scheduler.on(Outcome, nothing, job="report")
    scheduler.on(Outcome, nothing, job="shop:report")
    async with scheduler:
        pass
    assert lines("WARN") == [
        "a listener waits for events of job report, which does not exist (yet)"
    ]
