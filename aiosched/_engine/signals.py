"""Waiting for a signal, or for whatever else comes first."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


async def first_of(*events: asyncio.Event) -> None:
    """Wait for the first of several events."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


@contextmanager
def on_signals(call: Callable[[], None]) -> Iterator[None]:
    """Call *call* on SIGTERM and SIGINT, where the loop can: in the main thread, not on Windows."""
    loop = asyncio.get_running_loop()
    taken: list[signal.Signals] = []
    try:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, call)
            taken.append(each)
    except (NotImplementedError, RuntimeError, ValueError):
        pass  # a thread, or Windows: Ctrl-C cancels the main task instead
    try:
        yield
    finally:
        for each in taken:
            loop.remove_signal_handler(each)
