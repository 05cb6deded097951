"""What is opened once, by whoever needs it first, and closed once: lockers and electors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

log = logging.getLogger("aiosched")


class Openings:
    """The things of one kind that a scheduler has opened.

    Args:
        kind: What they are called.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._open: dict[int, tuple[Any, asyncio.Task[None]]] = {}

    def __iter__(self) -> Iterator[Any]:
        return iter([thing for thing, task in self._open.values() if _is_open(task)])

    async def ready(self, thing: Any) -> None:
        """Wait until *thing* is open; the first caller opens it.

        Raises:
            Exception: Whatever its `open` raised; the next caller tries again.
        """
        found = self._open.get(id(thing))
        if found is None:
            task = asyncio.get_running_loop().create_task(
                _open(thing), name=f"aiosched open {self._kind}"
            )
            found = self._open[id(thing)] = (thing, task)
        elif _is_open(found[1]):
            return
        try:
            # Shielded: it serves everybody who waits, not the one who is cancelled.
            await asyncio.shield(found[1])
        except Exception:
            self._open.pop(id(thing), None)
            raise

    async def close(self) -> None:
        """Close what was opened; what cannot be closed is logged."""
        opened, self._open = self._open, {}
        for thing, task in opened.values():
            task.cancel()  # nothing, for one that is open
            if not task.done():
                await asyncio.wait({task})
            if _is_open(task):
                await self._close(thing)

    async def _close(self, thing: Any) -> None:
        if not hasattr(thing, "aclose"):
            return
        try:
            await thing.aclose()
        except Exception:
            log.exception("closing %s %r raised", self._kind, thing)


async def _open(thing: Any) -> None:
    if hasattr(thing, "open"):
        await thing.open()


def _is_open(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
