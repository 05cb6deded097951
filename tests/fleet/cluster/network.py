"""What lies between a host and a store: seeded delays, losses and cuts, in order where TCP is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Protocol

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from aiosched.durations import SECOND
from tests.fleet.cluster.conductor import Conductor
from tests.fleet.cluster.host import Host

Commands = list[list[bytes]]


class Server(Protocol):
    """What stands at the far end."""

    is_down: bool
    sockets: dict[Socket, None]

    def receive(self, socket: Socket, commands: Commands, /) -> None:
        """Take what has arrived."""
        ...


@dataclass(frozen=True, slots=True)
class Weather:
    """How a network is.

    Attributes:
        delay: Seconds that a message is on its way, at least and usually at most.
        slow: The share of messages that take longer, and the seconds that these take at most.
        lost_requests: The share of requests that never arrive.
        lost_replies: The share of replies that never arrive.
        resets: The share of requests whose connection breaks, while they arrive all the same.
    """

    delay: tuple[float, float] = (0.0002, 0.002)
    slow: tuple[float, float] = (0.0, 0.0)
    lost_requests: float = 0.0
    lost_replies: float = 0.0
    resets: float = 0.0


CLEAR = Weather()


class Link:
    """The way from one host to one server.

    Attributes:
        cut_until: The true moment up to which nothing passes.
        weather: How it is just now.
        bad_until: The true moment up to which it stays bad; by then all have arrived.
    """

    def __init__(self, conductor: Conductor, host: Host, server: Server, random: Random) -> None:
        self.cut_until = self.bad_until = 0
        self.weather = CLEAR
        self.host = host
        self.server = server
        self._conductor = conductor
        self._random = random

    def client(self, name: str) -> Redis:
        """Return the driver's own client, whose connections lead over this link."""
        pool = ConnectionPool(partial(Connection, self), host=name, retry=Retry(NoBackoff(), 0))
        return Redis(connection_pool=pool)

    def request(self, socket: Socket, commands: Commands) -> None:
        """Send *commands*; they may be long on their way, or the connection may break meanwhile."""
        fate = self._random.random()
        weather = self.weather
        arrives = self._arrival(socket, "there", lost=fate < weather.lost_requests)
        if arrives is not None:
            self._conductor.at(arrives, partial(self._arrive, socket, commands))
        if 0 <= fate - weather.lost_requests < weather.resets:
            self._conductor.after(self._delay(), partial(self.reset, socket))

    def reply(self, socket: Socket, answers: Sequence[Any]) -> None:
        """Send *answers* back."""
        lost = self._random.random() < self.weather.lost_replies
        arrives = self._arrival(socket, "back", lost=lost)
        if arrives is not None:
            self._conductor.at(arrives, partial(self._deliver, partial(socket.feed, answers)))

    def reset(self, socket: Socket, why: str = "reset by peer") -> None:
        """Break the connection."""
        self.server.sockets.pop(socket, None)
        self._deliver(partial(socket.fail, exceptions.ConnectionError(why)))

    def _arrive(self, socket: Socket, commands: Commands) -> None:
        server = self.server
        if server.is_down:
            self._conductor.after(self._delay(), partial(self.reset, socket, "refused"))
        else:
            server.receive(socket, commands)

    def _deliver(self, call: Callable[[], object]) -> None:
        self.host.deliver(call)

    def _arrival(self, socket: Socket, way: str, *, lost: bool) -> int | None:
        """Return when a message arrives; None: never.

        On one connection none overtakes another, and after a lost one none arrives.
        """
        moment = self._passage(lost=lost)
        last = socket.last.get(way, 0)
        moment = None if moment is None or last is None else max(moment, last)
        socket.last[way] = moment
        return moment

    def _passage(self, *, lost: bool) -> int | None:
        now = self._conductor.now
        moment = now + round(self._delay() * SECOND)
        if self.weather is not CLEAR:
            moment = min(moment, max(now, self.bad_until))
        if self.cut_until > now:
            if self._random.random() < 0.5:
                return None
            moment += self.cut_until - now  # it is sent again until it gets through
        return None if lost else moment

    def _delay(self) -> float:
        share, longest = self.weather.slow
        if share and self._random.random() < share:
            return self._random.uniform(0, longest)
        return self._random.uniform(*self.weather.delay)


class Socket:
    """One connection's both ends."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.life = 0  # of the server that it was opened to
        self.last: dict[str, int | None] = {}  # when the last one arrives, each way; None: never
        self._replies: deque[Any] = deque()
        self._error: Exception | None = None
        self._waiter: Any = None

    def feed(self, answers: Sequence[Any]) -> None:
        self._replies.extend(answers)
        self._wake()

    def fail(self, error: Exception) -> None:
        self._error = self._error or error
        self._wake()

    async def read(self) -> Any:
        """Return the next answer."""
        while not self._replies:
            if self._error is not None:
                raise self._error
            self._waiter = self.link.host.loop.create_future()
            await self._waiter
        return self._replies.popleft()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection:
    """What the driver's connection is to `Wire`, over a link."""

    def __init__(self, link: Link, **_settings: Any) -> None:
        self._link = link
        self._socket: Socket | None = None

    @property
    def is_connected(self) -> bool:
        return self._socket is not None

    async def connect(self) -> None:
        """Shake hands: one round trip."""
        socket = Socket(self._link)
        self._link.request(socket, [[b"HELLO"]])
        await socket.read()
        self._socket = socket

    async def disconnect(self, *, nowait: bool = False) -> None:
        """Close; what was sent goes on its way all the same."""
        if self._socket is not None:
            self._link.server.sockets.pop(self._socket, None)
            self._socket = None

    async def send_packed_command(self, packed: Sequence[bytes], *, check_health: bool) -> None:
        self._link.request(self._require(), parse(b"".join(packed)))

    async def read_response(self, *, disable_decoding: bool) -> Any:
        answer = await self._require().read()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pack_command(self, *words: Any) -> list[bytes]:
        """Return a command as bytes, where there is no hiredis to do it."""
        texts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        packed = [b"$%d\r\n%b\r\n" % (len(text), text) for text in texts]
        return [b"*%d\r\n" % len(texts), *packed]

    def _require(self) -> Socket:
        if self._socket is None:
            raise exceptions.ConnectionError("not connected")
        return self._socket


def parse(data: bytes) -> Commands:
    """Return the commands that *data* spells."""
    commands, at = [], 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        count, at = int(data[at + 1 : end]), end + 2
        words = []
        for _ in range(count):
            end = data.index(b"\r\n", at)
            size = int(data[at + 1 : end])
            words.append(data[end + 2 : end + 2 + size])
            at = end + 4 + size
        commands.append(words)
    return commands
