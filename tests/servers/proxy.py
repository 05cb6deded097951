"""A TCP proxy that can be as bad as a network: slow, silent in one direction or both, or broken."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.servers.process import HOST

_NO_LINGER = struct.pack("ii", 1, 0)


class Direction:
    """One way of all connections.

    Attributes:
        delay: Seconds that data stays in here.
        is_silent: Swallow data, and the end of the connection as well (half-open).
        bytes: That have come in.
        messages: Times that data came in after the other direction had had its turn: with a
            protocol of questions and answers, the round trips.
    """

    def __init__(self) -> None:
        self.delay = 0.0
        self.is_silent = False
        self.bytes = 0
        self.messages = 0


class Proxy:
    """Passes connections on to *port*, as long as its context is entered.

    Attributes:
        port: Where it listens.
        to_server: What goes there.
        to_client: What comes back.
        connections: That were ever made.
    """

    def __init__(self, port: int) -> None:
        self.to_server = Direction()
        self.to_client = Direction()
        self.connections = 0
        self.port = 0
        self._target = port
        self._listener: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    @property
    def count(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def go_silent(self, *, silent: bool = True) -> None:
        """Become a black hole, or no longer. What was swallowed does not come back."""
        self.to_server.is_silent = self.to_client.is_silent = silent

    def delay(self, seconds: float) -> None:
        """Take so long in each direction."""
        self.to_server.delay = self.to_client.delay = seconds

    def reset_all(self) -> None:
        """Break all connections."""
        for connection in tuple(self._open):
            connection.reset()

    async def refuse(self) -> None:
        """Break all connections and refuse new ones, until `accept`."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.reset_all()
        await asyncio.sleep(0)

    async def accept(self) -> None:
        """Listen (again, on the same port)."""
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._serve, HOST, self.port, reuse_address=True
            )
            self.port = self._listener.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.refuse()
        while self._open:
            await asyncio.wait([each.task for each in self._open])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._listener is None:  # accepted just before it was closed
            writer.transport.abort()
            return
        self.connections += 1
        connection = _Connection(writer)
        self._open.add(connection)
        try:
            await self._join(connection, reader)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(connection)
            connection.abort()

    async def _join(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        other_reader, other_writer = await asyncio.open_connection(HOST, self._target)
        connection.writers.append(other_writer)
        async with asyncio.TaskGroup() as both:
            writer = connection.writers[0]
            both.create_task(self._pump(connection, reader, other_writer, self.to_server))
            both.create_task(self._pump(connection, other_reader, writer, self.to_client))

    async def _pump(
        self,
        connection: _Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        way: Direction,
    ) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        deliver = asyncio.create_task(_deliver(queue, writer))
        try:
            while data := await _read(reader):
                way.bytes += len(data)
                if connection.last is not way:
                    connection.last = way
                    way.messages += 1
                if not way.is_silent:
                    queue.put_nowait((loop.time() + way.delay, data))
            if not way.is_silent:
                queue.put_nowait((loop.time() + way.delay, b""))
            await deliver  # a silent one goes on until it is reset
        finally:
            deliver.cancel()


class _Connection:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writers = [writer]
        self.last: Direction | None = None
        task = asyncio.current_task()
        assert task is not None
        self.task = task

    def reset(self) -> None:
        """Break it without a farewell."""
        self.abort()
        self.task.cancel()

    def abort(self) -> None:
        """Drop what is on its way, and the connection."""
        for writer in self.writers:
            end = writer.get_extra_info("socket")
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except OSError:
        return b""


async def _deliver(queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    while True:
        at, data = await queue.get()
        if (wait := at - loop.time()) > 0:
            await asyncio.sleep(wait)
        if not data:
            writer.close()
            return
        writer.write(data)
