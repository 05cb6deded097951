"""Everybody who wants to know: listeners and streams. Publishing never waits and never raises."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from collections.abc import Set as AbstractSet
from contextvars import Context
from typing import Any, NamedTuple, Self, TypeVar
from weakref import ReferenceType, ref

from aiosched.events import Event, JobChanged, Outcome, Planned, Started
from aiosched.protocols import Listener

log = logging.getLogger("aiosched")
_BACKLOG = 10_000
E = TypeVar("E", bound=Event)


class _Subscription(NamedTuple):
    kind: type[Event]
    listener: Listener
    wanted: Callable[[Any], bool] | None  # of the event's job
    handle: Listener  # what is called: the listener, or its follower


class EventStream(AsyncIterator[E]):
    """Events as they happen, for ``async for``; ends when the scheduler has stopped.

    Attributes:
        dropped: Events left out since the reader was more than *size* behind; the oldest go first.
    """

    def __init__(self, bus: Bus, kinds: tuple[type[E], ...], size: int) -> None:
        for kind in kinds:
            check_kind(kind, "types must be event types")
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size!r}")
        self.dropped: int = 0
        self._bus = bus
        self._kinds = kinds
        self._events: deque[E] = deque(maxlen=size)
        self._ready = asyncio.Event()
        self._closed = False
        bus.attach(self)

    def close(self) -> None:
        """Stop receiving; events already received can still be read."""
        self._bus.detach(self)
        self._closed = True
        self._ready.set()

    def push(self, event: Event) -> None:
        """Take *event* in if it is of a kind that was asked for."""
        if not isinstance(event, self._kinds):
            return
        self.dropped += len(self._events) == self._events.maxlen
        self._events.append(event)
        self._ready.set()

    async def __anext__(self) -> E:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        return self._events.popleft()

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class _Follower:
    """An async listener: its events are handled one after the other, in order, by one task."""

    def __init__(self, bus: Bus, listener: Listener) -> None:
        self._bus = bus
        self._listener = listener
        self._events: deque[Event] = deque()
        self._dropped = 0
        self._task: asyncio.Task[None] | None = None

    def __call__(self, event: Event) -> None:
        if len(self._events) >= _BACKLOG:
            self._dropped += 1
            if self._dropped == 1:
                log.warning("listener %r is %d events behind; dropping", self._listener, _BACKLOG)
            return
        self._events.append(event)
        self.go_on()

    def go_on(self) -> None:
        """Handle what there is, once there is a loop for it."""
        if self._events and (self._task is None or not self._bus.owns(self._task)):
            self._task = self._bus.spawn(self._work, f"aiosched listener {self._listener!r}")

    def dismiss(self) -> None:
        """Forget what has not been handled."""
        self._events.clear()

    async def _work(self) -> None:
        try:
            while self._events:
                await _heard(self._listener, self._listener(self._events.popleft()))
            self._task = None
        except asyncio.CancelledError:
            self.dismiss()
            raise


class Bus:
    """Publishes events to listeners and streams.

    Attributes:
        wants_planned, wants_started, wants_outcome, wants_job_changes: Whether making such an event
            is worth while.
    """

    def __init__(self) -> None:
        self.wants_planned: bool = False
        self.wants_started: bool = False
        self.wants_outcome: bool = False
        self.wants_job_changes: bool = False
        self._subscriptions: list[_Subscription] = []
        self._handlers: dict[type[Event], list[tuple[Listener, Callable[[Any], bool] | None]]] = {}
        self._streams: list[ReferenceType[EventStream[Any]]] = []  # weak: a reader may just go away
        self._coming: deque[Event] = deque()
        self._is_publishing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context: Context | None = None

    def start(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        """Let async listeners work on *loop*, in copies of *context*; what came before waits."""
        self._tasks.clear()
        self._loop = loop
        self._context = context
        for each in self._subscriptions:
            if isinstance(each.handle, _Follower):
                each.handle.go_on()

    def subscribe(
        self, kind: type[Event], listener: Listener, wanted: Callable[[Any], bool] | None = None
    ) -> None:
        """Call *listener* with each event of *kind*, and of its subclasses."""
        check_kind(kind, "event must be an event type")
        if not callable(listener):
            raise TypeError(f"listener must be callable, got {listener!r}")
        handles = [each.handle for each in self._subscriptions if each.listener == listener]
        handle = handles[0] if handles else self._handle_of(listener)
        self._subscriptions.append(_Subscription(kind, listener, wanted, handle))
        self._changed()

    def unsubscribe(self, listener: Listener) -> bool:
        """Never call *listener* again. Was it subscribed?"""
        gone = [each for each in self._subscriptions if each.listener == listener]
        self._subscriptions = [each for each in self._subscriptions if each not in gone]
        for each in gone:
            if isinstance(each.handle, _Follower):
                each.handle.dismiss()
        self._changed()
        return bool(gone)

    def attach(self, stream: EventStream[Any]) -> None:
        """Push each event to *stream*."""
        self._streams.append(ref(stream, self._drop))
        self._changed()

    def detach(self, stream: EventStream[Any]) -> None:
        """Push nothing more to *stream*."""
        self._streams = [each for each in self._streams if each() is not stream]
        self._changed()

    def publish(self, event: Event) -> None:
        """Hand *event* to everybody who wants it; what listeners cause meanwhile comes after it."""
        self._coming.append(event)
        if self._is_publishing:
            return
        self._is_publishing = True
        try:
            for _ in range(_BACKLOG):
                if not self._coming:
                    return
                self._hand_out(self._coming.popleft())
            log.error("listeners cause events without an end: %r is dropped", self._coming[0])
            self._coming.clear()
        finally:
            self._is_publishing = False

    def _hand_out(self, event: Event) -> None:
        kind = type(event)
        handlers = self._handlers.get(kind)
        if handlers is None:
            handlers = self._handlers[kind] = self._find(kind)
        for handle, wanted in handlers:
            self._call(handle, wanted, event)
        for each in self._streams:
            stream = each()
            if stream is not None:
                stream.push(event)

    def spawn(
        self, work: Callable[[], Coroutine[Any, Any, None]], name: str
    ) -> asyncio.Task[None] | None:
        """Own a task of an async listener; None: there is no loop now."""
        if self._loop is None or self._context is None or self._loop.is_closed():
            return None
        # Not in the context of whoever publishes: a listener is no part of the run it hears of.
        task = self._loop.create_task(work(), name=name, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def owns(self, task: asyncio.Task[None]) -> bool:
        """Say whether *task* works for an async listener."""
        return task in self._tasks

    async def drain(self, timeout: float, besides: AbstractSet[asyncio.Task[Any] | None]) -> None:
        """Let async listeners finish for up to *timeout* seconds, then cancel them.

        Events to come wait for the next start. Tasks in *besides* wait for this themselves.
        """
        tasks = self._tasks - besides
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout)
            for task in late:
                task.cancel()
            if late:
                log.warning("%d listeners were cancelled: not done %s s after", len(late), timeout)
                await asyncio.wait(late, timeout=1)
        self._loop = None

    def close_streams(self) -> None:
        """End every stream."""
        for each in self._streams:
            stream = each()
            if stream is not None:
                stream.close()

    def _call(self, handle: Listener, wanted: Callable[[Any], bool] | None, event: Event) -> None:
        try:
            if wanted is None or wanted(event.job):  # type: ignore[attr-defined]
                result = handle(event)
                if result is not None and inspect.isawaitable(result):
                    self._await(handle, result)
        except Exception:  # a listener watches; it must not change anything
            log.exception("listener %r raised", handle)

    def _await(self, handle: Listener, result: Awaitable[object]) -> None:
        """See to what a plain function has given to be awaited: a lambda around an async one."""
        task = self.spawn(lambda: _heard(handle, result), f"aiosched listener {handle!r}")
        if task is None and inspect.iscoroutine(result):
            log.warning("listener %r gave a coroutine while no loop ran: dropped", handle)
            result.close()

    def _changed(self) -> None:
        self._handlers.clear()
        self.wants_planned = self._wanted(Planned)
        self.wants_started = self._wanted(Started)
        self.wants_outcome = self._wanted(Outcome)
        self.wants_job_changes = self._wanted(JobChanged)

    def _wanted(self, kind: type[Event]) -> bool:
        return bool(self._streams) or any(issubclass(kind, s.kind) for s in self._subscriptions)

    def _find(self, kind: type[Event]) -> list[tuple[Listener, Callable[[Any], bool] | None]]:
        found: list[tuple[Listener, Callable[[Any], bool] | None]] = []
        for each in self._subscriptions:
            about_a_job = hasattr(kind, "job") or "job" in getattr(kind, "__slots__", ())
            if issubclass(kind, each.kind) and (each.wanted is None or about_a_job):
                found.append((each.handle, each.wanted))
        return found

    def _handle_of(self, listener: Listener) -> Listener:
        return _Follower(self, listener) if _is_async(listener) else listener

    def _drop(self, stream: ReferenceType[EventStream[Any]]) -> None:
        """Forget a stream that nobody reads any more."""
        self._streams = [each for each in self._streams if each is not stream]
        self._changed()


def check_kind(kind: object, must: str) -> None:
    """Raise `TypeError` unless *kind* is a type of event."""
    if not (isinstance(kind, type) and issubclass(kind, Event)):
        raise TypeError(f"{must}, got {kind!r}")


async def _heard(listener: Listener, result: Any) -> None:
    """Await what *listener* has returned; it watches, and must not change anything."""
    try:
        await result
    except Exception:
        log.exception("listener %r raised", listener)


def _is_async(listener: Listener) -> bool:
    return inspect.iscoroutinefunction(listener) or inspect.iscoroutinefunction(
        getattr(listener, "__call__", None)  # noqa: B004 - an object with an async __call__
    )
