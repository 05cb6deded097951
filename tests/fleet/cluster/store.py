"""A Redis as `RedisStore` sees it: the script's protocol, answered by the model; it can forget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from redis import exceptions

from aiosched.durations import SECOND
from aiosched.errors import AlreadyRan, LockError, LockHeld, Superseded, TooEarly, TooLate
from aiosched.lockers import _record
from aiosched.lockers import _redis_script as script
from aiosched.lockers._record import BLANK, ExactSet, Grant, Question, Record
from aiosched.model import Claim
from aiosched.moments import from_us
from tests.fleet.cluster.conductor import Conductor
from tests.fleet.cluster.host import MILLION, WALL_START
from tests.fleet.cluster.network import Commands, Socket

NOTHING = -(2**53) + 1
ARGUMENTS = {b"ask": 5, b"release": 3, b"renew": 1, b"look": 0}
CODES = {TooEarly: script.EARLY, TooLate: script.LATE, AlreadyRan: script.RAN}


@dataclass(slots=True)
class Entry:
    """What is kept of one key."""

    record: Record = BLANK
    claimed: ExactSet = field(default_factory=ExactSet)
    till: int = 0
    released: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A claim as it arrives."""

    attempt: str
    claim: Claim


class SimStore:
    """One server.

    Args:
        conductor: Of true time.
        persists: Whether it says that it remembers across restarts.
        offset: Microseconds by which its clock is wrong.
        drift: Millionths by which its clock goes fast.

    Attributes:
        is_down: Nobody listens.
        is_disturbed: Something has been done to it that is not over.
        sockets: Those that are open.
        served: Requests that it has answered.
    """

    def __init__(
        self, conductor: Conductor, *, persists: bool = True, offset: int = 0, drift: int = 0
    ) -> None:
        self.is_down = self.is_disturbed = False
        self.sockets: dict[Socket, None] = {}
        self.served = 0
        self._conductor = conductor
        self._persists = persists
        self._offset = offset
        self._rate = MILLION + drift
        self._life = 1
        self._stopped = False
        self._backlog: list[tuple[Socket, Commands]] = []
        self._entries: dict[bytes, Entry] = {}
        self._epoch: tuple[int, int] | None = None  # when, and in which life
        self._knows_script = False

    def now(self) -> int:
        """Return its clock."""
        return WALL_START + self._conductor.now * self._rate // MILLION + self._offset

    # ── what happens to it ────────────────────────────────────────────────────────────────────

    def go_down(self) -> None:
        """Be killed: every connection breaks, and what it was about to read is lost."""
        self.is_down, self._stopped = True, False
        self._life += 1
        self._knows_script = False
        self._backlog.clear()
        for socket in list(self.sockets):
            self._conductor.after(0.0005, lambda socket=socket: socket.link.reset(socket))

    def come_up(self, *, empty: bool) -> None:
        """Listen again, with or without what it remembered."""
        self.is_down = False
        if empty:
            self.forget()

    def forget(self) -> None:
        """Lose everything: flushed, or restarted without a file."""
        self._entries.clear()
        self._epoch = None

    def stop(self) -> None:
        """Answer nothing until `go_on`; what arrives waits."""
        self._stopped = True

    def go_on(self) -> None:
        """Answer what has come meanwhile."""
        self._stopped = False
        backlog, self._backlog = self._backlog, []
        for socket, commands in backlog:
            self.receive(socket, commands)

    # ── commands ──────────────────────────────────────────────────────────────────────────────

    def receive(self, socket: Socket, commands: Commands) -> None:
        """Carry out what has arrived, and answer."""
        if self._stopped:
            self._backlog.append((socket, commands))
            return
        if commands[0] == [b"HELLO"]:
            socket.life = self._life
            self.sockets[socket] = None
        elif socket.life != self._life:
            socket.link.reset(socket)  # it was opened to one that is gone
            return
        socket.link.reply(socket, [self._carry_out(command) for command in commands])

    def _carry_out(self, command: list[bytes]) -> Any:
        match command[0]:
            case b"EVALSHA" if not self._knows_script:
                return exceptions.NoScriptError("no matching script")
            case b"EVALSHA" | b"EVAL":
                self._knows_script = True
                count = int(command[2])
                return self._eval(command[3 : 3 + count], command[3 + count :])
            case b"HELLO":
                return b"OK"
            case _:
                return self._info()

    def _info(self) -> bytes:
        facts = f"redis_version:8.0.0\r\naof_enabled:{int(self._persists)}\r\nmaxmemory:0\r\n"
        return facts.encode()

    def _eval(self, keys: Sequence[bytes], arguments: Sequence[bytes]) -> list[Any]:
        self.served += 1
        now, ttl, forgets = self.now(), int(arguments[0]), arguments[1]
        reply: list[Any] = [now]
        at = 2
        for key in keys[1::2]:
            verb, words = arguments[at], arguments[at + 1 : at + 1 + ARGUMENTS[arguments[at]]]
            at += 1 + len(words)
            entry = self._entries.setdefault(key, Entry())
            if verb == b"ask":
                reply.append(self.ask(entry, _asked(key, words), now, ttl, self._born(forgets)))
            elif verb == b"release":
                reply.append(self.release(entry, words, now))
            elif verb == b"renew":
                reply.append(self.renew(entry, words[0].decode(), now, ttl))
            else:
                newest = _record.last_claimed(entry.record, now, busy=entry.till > now)
                reply.append(None if newest is None else entry.record.watermark)
        return reply

    def _born(self, forgets: bytes) -> int:
        """Return since when it remembers everything."""
        if not forgets:
            return NOTHING
        life = self._life if forgets == b"restart" else 0
        if self._epoch is None or self._epoch[1] != life:
            self._epoch = (self.now(), life)
        return self._epoch[0]

    # ── requests ──────────────────────────────────────────────────────────────────────────────

    def ask(self, entry: Entry, asked: Asked, now: int, ttl: int, born: int) -> list[Any]:
        """Answer a claim."""
        record, claim = entry.record, asked.claim
        is_same = record.last == asked.attempt and (
            record.owner == asked.attempt or not claim.exclusive
        )
        if not is_same and claim.due_us is not None and claim.due_us <= born:
            return [script.LOST, born]
        if not is_same and now < born + ttl:
            return [script.RECOVERING, born + ttl - now]
        left = entry.till - now
        question = Question(claim, asked.attempt, now, left > 0, entry.claimed, left / SECOND)
        answer = self.decide(record, question)
        if isinstance(answer, LockError):
            return _refused(answer, record, left)
        entry.record = answer.record
        if answer.record.floor is None:
            entry.claimed = ExactSet()
        elif not is_same:
            entry.claimed.apply(answer)
        if claim.exclusive:
            entry.till = now + ttl
            entry.released = None
        return [script.GRANTED, answer.due, answer.fence, answer.attempt]

    def decide(self, record: Record, question: Question) -> Grant | LockError:
        """Say yes or no."""
        return _record.decide(record, question)

    def release(self, entry: Entry, words: Sequence[bytes], now: int) -> int:
        """Free the key, if the attempt has it."""
        attempt = words[0].decode()
        if entry.released == attempt:
            return 1  # the answer was lost
        due = int(words[1]) if words[1] else None
        after = _record.release(entry.record, attempt, due, done=words[2] == b"1")
        if after is None:
            return 0
        was_held = entry.till > now
        entry.record, entry.till, entry.released = after, 0, attempt
        return int(was_held)

    def renew(self, entry: Entry, attempt: str, now: int, ttl: int) -> int:
        """Prolong the lease, if the attempt has it still."""
        if entry.record.owner != attempt or entry.till <= now:
            return 0
        entry.till = now + ttl
        return 1


def _asked(key: bytes, words: Sequence[bytes]) -> Asked:
    flags = int(words[4])
    claim = Claim(
        key.decode(),
        from_us(int(words[1])) if words[1] else None,
        late=timedelta(microseconds=int(words[2])),
        keep=timedelta(microseconds=int(words[3])),
        exclusive=bool(flags & script.EXCLUSIVE),
        exact=bool(flags & script.EXACT),
        redeliver=bool(flags & script.REDELIVER),
    )
    return Asked(words[0].decode(), claim)


def _refused(error: LockError, record: Record, left: int) -> list[Any]:
    if isinstance(error, LockHeld):
        kind = 1 if error.same_occurrence else 2 if error.behind_redelivery else 0
        return [script.HELD, left, kind]
    if isinstance(error, Superseded):
        return [script.SUPERSEDED, record.watermark]
    return [CODES[type(error)]]
