"""Hearing of a channel of PostgreSQL, in the locker's own session, until that ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

from aiosched.lockers._requests import Request


class Ear:
    """Somebody who listens.

    Attributes:
        channel: What is listened to.
        call: Called with each notification.
        ended: Done when nothing is heard any more; cancelled by who does not want to hear any more.
    """

    __slots__ = ("call", "channel", "ended")

    def __init__(self, channel: str, call: Callable[[], object]) -> None:
        self.channel = channel
        self.call = call
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Ears:
    """Those who listen in one session."""

    def __init__(self) -> None:
        self._by_channel: dict[str, set[Ear]] = {}

    async def add(self, ear: Ear, connection: Any) -> None:
        """Have *ear* hear what *connection* is told."""
        if ear.channel not in self._by_channel:
            await connection.add_listener(ear.channel, self._heard)
        ears = self._by_channel.setdefault(ear.channel, set())
        ears -= {each for each in ears if each.ended.done()}
        ears.add(ear)

    def close(self) -> None:
        """Tell them that nothing is heard any more."""
        known, self._by_channel = self._by_channel, {}
        for ear in (each for ears in known.values() for each in ears):
            if not ear.ended.done():
                ear.ended.set_result(None)

    def _heard(self, _connection: object, _pid: int, channel: str, _payload: object) -> None:
        for ear in tuple(self._by_channel.get(channel, ())):
            if not ear.ended.done():
                ear.call()


class Listen(Request):
    """Wanting to hear."""

    __slots__ = ("ear",)

    def __init__(self, ear: Ear) -> None:
        super().__init__(asyncio.get_running_loop().create_future())
        self.ear = ear


def channel_of(table: str, key: str) -> str:
    """Return where rings of *key* go: a name for each pair, of a length that PostgreSQL takes."""
    spelled = f"{table}\0{key}".encode("utf-8", "surrogatepass")
    return f"aiosched_{hashlib.blake2b(spelled, digest_size=16).hexdigest()}"


RING = "SELECT pg_notify($1, '')"
