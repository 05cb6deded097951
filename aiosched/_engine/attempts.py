"""The attempts within one run: each has its timeout, and between two of them there is a delay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiosched._engine.jitter import share
from aiosched._engine.logs import tell_attempt
from aiosched.model import Retry, Run

Call = Callable[[Run], Awaitable[Any]]


class TimedOut(TimeoutError):
    """Our own timeout, to tell it from one that the function raised."""


def with_attempts(call: Call, timeout: float | None, retry: Retry | None) -> Call:
    """Return *call* with a timeout (seconds, of one attempt) and further attempts."""
    limited = call if timeout is None else _with_timeout(call, timeout)
    return limited if retry is None else _with_retry(limited, retry)


async def held_work(run: Run) -> None:
    """Wait for the threads that *run* left behind, whoever cancels.

    A drain that gives up clears them first.
    """
    while run._holds:
        pending = [work for work in run._holds if not work.done()]
        if not pending:
            run._holds = None
            return
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError:
            if not run._holds:  # given up
                raise


async def _ended_work(run: Run) -> None:
    """Wait for the threads of the last attempt; cancelling ends the waiting, and so the run."""
    while pending := [work for work in run._holds or () if not work.done()]:
        await asyncio.wait(pending)
    run._holds = None


def _with_timeout(call: Call, timeout: float) -> Call:
    async def attempt(run: Run) -> Any:
        try:
            async with asyncio.timeout(timeout) as limit:
                return await call(run)
        except TimeoutError as error:
            if limit.expired():
                raise TimedOut(f"{run.job.name} took longer than {timeout:g} s") from error
            raise

    return attempt


def _with_retry(call: Call, retry: Retry) -> Call:
    async def attempts(run: Run) -> Any:
        while True:
            try:
                return await call(run)
            except retry.on as error:
                if run.attempt >= retry.attempts or run.job.draining:
                    raise
                tell_attempt(run, retry.attempts, error)
                await _ended_work(run)
                if run._stopping is not None and not run.job.draining:
                    run._stopping.clear()  # it told the thread of the last attempt only
                if await _interrupted(run, _delay(run, retry)):
                    raise
                run.attempt += 1

    return attempts


def _delay(run: Run, retry: Retry) -> float:
    """Return the seconds before the next attempt: seeded, so that a replay waits as long."""
    attempt = run.attempt + 1
    return retry.delay_before(attempt, share(f"{run.job.name}/{attempt}", run.due_us))


async def _interrupted(run: Run, delay: float) -> bool:
    """Wait before another attempt. Did a drain begin meanwhile?"""
    try:
        async with asyncio.timeout(delay):
            await run.stopping.wait()
    except TimeoutError:
        return bool(run.job.draining)
    return True
