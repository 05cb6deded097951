"""A fleet in true time: hosts, links and a store, what disturbs them, and what they write down."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from aiosched.durations import SECOND
from tests.fleet.cluster.conductor import Conductor
from tests.fleet.cluster.host import Host
from tests.fleet.cluster.network import CLEAR, Link, Weather
from tests.fleet.cluster.replica import NotingLocker, Replica, Task
from tests.fleet.cluster.store import SimStore
from tests.fleet.history import Event

STORE = "store"


class Worker:
    """A place in the fleet, with one incarnation after the other.

    Attributes:
        life: Of the incarnations, from 1.
        replica: The present one; None: there is none.
    """

    def __init__(self, number: int, offset: int, drift: int) -> None:
        self.number = number
        self.offset = offset
        self.drift = drift
        self.life = 0
        self.replica: Replica | None = None
        self.link: Link | None = None
        self.is_stopped = False
        self.is_leaving = False

    @property
    def name(self) -> str:
        """As in the history."""
        return f"w{self.number}#{self.life}"

    @property
    def is_fit(self) -> bool:
        """Whether something may happen to it now."""
        return self.replica is not None and not self.is_stopped and not self.is_leaving


class Cluster:
    """All of it.

    Args:
        seed: Of everything that is drawn.
        tasks: The jobs.
        until: Seconds after which nothing comes due.
        ttl: Of the leases.
        store: Makes the store.
        locker: Makes lockers.
        on_amnesia: As `RedisLocker` takes it.
        spread: As `Scheduler` takes it.

    Attributes:
        history: What has happened, in the order of true time.
    """

    def __init__(
        self,
        seed: str,
        tasks: tuple[Task, ...],
        *,
        until: float,
        ttl: float,
        store: Callable[[Conductor], SimStore],
        locker: type[NotingLocker] = NotingLocker,
        on_amnesia: Any = None,
        spread: float = 0.0,
    ) -> None:
        self.history: list[Event] = []
        self.workers: list[Worker] = []
        self.conductor = Conductor()
        self.store = store(self.conductor)
        self._seed = seed
        self._tasks = tasks
        self._until = until
        self._ttl = ttl
        self._locker = locker
        self._on_amnesia = on_amnesia
        self._spread = spread
        self._graves: list[Host] = []

    def random(self, name: str) -> Random:
        """Return a source of chance that nobody else draws from."""
        return Random(f"{self._seed}/{name}")

    def note(self, worker: str, event: str, **about: Any) -> None:
        """Write down what happens now."""
        at = self.conductor.now / SECOND
        if about.get("until") is not None:
            about["until"] = round(about["until"], 6)
        self.history.append(Event(at, worker, event, **about))

    # ── workers ───────────────────────────────────────────────────────────────────────────────

    def launch(self, worker: Worker) -> None:
        """Start the next incarnation."""
        worker.life += 1
        worker.is_stopped = worker.is_leaving = False
        name = worker.name
        host = Host(
            self.conductor,
            self.random(f"{name}/turns"),
            name=name,
            offset=worker.offset,
            drift=worker.drift,
        )
        self._graves.append(host)
        link = Link(self.conductor, host, self.store, self.random(f"{name}/link"))
        note = partial(self._note_for, host)
        locker = self._locker(
            link.client(name), self._ttl, host=host, note=note, on_amnesia=self._on_amnesia
        )
        worker.link = link
        worker.replica = Replica(
            host, locker, self._tasks, until=self._until, spread=self._spread, note=note
        )
        host.spawn(worker.replica.live(), "live")

    def _note_for(self, host: Host, event: str, **about: Any) -> None:
        if not host.is_dead:
            self.note(host.name, event, **about)

    def kill(self, worker: Worker, handles: int, again_after: float) -> None:
        """Have a worker vanish within so many callbacks, and another take its place."""
        assert worker.replica is not None

        def died(name: str = worker.name) -> None:
            self.note(name, "killed")
            worker.replica = None
            self.conductor.after(again_after, partial(self.launch, worker))

        worker.is_leaving = True
        worker.replica.host.vanish_within(handles, died)

    def leave(self, worker: Worker, *, drain: bool, again_after: float | None) -> None:
        """Stop a worker as one should; another one comes so long after it was told to."""
        assert worker.replica is not None
        worker.is_leaving = True
        worker.replica.host.spawn(worker.replica.leave(drain=drain), "leave")
        if again_after is not None:
            successor = Worker(len(self.workers) + 1, worker.offset, worker.drift)
            self.workers.append(successor)
            self.conductor.after(again_after, partial(self.launch, successor))

    def pause(self, worker: Worker, seconds: float, *, suspended: bool = False) -> None:
        """Stop a worker's process, or suspend its whole host."""
        assert worker.replica is not None
        host, name = worker.replica.host, worker.name

        def continued() -> None:
            worker.is_stopped = False
            if not host.is_dead:
                self.note(name, "continued")
                host.go_on()

        worker.is_stopped = True
        self.note(name, "stopped")
        host.stop(suspended=suspended)
        self.conductor.after(seconds, continued)

    def step(self, worker: Worker, seconds: float) -> None:
        """Set a worker's wall clock."""
        assert worker.replica is not None
        worker.offset += round(seconds * SECOND)
        worker.replica.host.step(seconds)
        host, lasts = worker.replica.host, abs(seconds) + 1.0
        self.conductor.after(lasts, partial(self._note_for, host, "stalled", seconds=lasts))

    def disturb(self, worker: Worker, seconds: float, weather: Weather | None) -> None:
        """Let a worker's network be bad for a while; None: cut it."""
        assert worker.link is not None
        link, name = worker.link, worker.name
        if link.weather is not CLEAR or link.cut_until > self.conductor.now:
            return
        self.note(name, "network", mode="cut" if weather is None else "bad")
        if weather is None:
            link.cut_until = self.conductor.now + round(seconds * SECOND)
        else:
            link.weather = weather
            link.bad_until = self.conductor.now + round(seconds * SECOND)

        def fine() -> None:
            link.weather = CLEAR
            if not link.host.is_dead:
                self.note(name, "network", mode="fine")

        self.conductor.after(seconds, fine)

    # ── the store ─────────────────────────────────────────────────────────────────────────────

    def restart_store(self, seconds: float, *, empty: bool) -> None:
        """Kill the store, and start it again with or without its memory."""
        if self.store.is_disturbed:
            return
        self.store.is_disturbed = True
        self.note(STORE, "server", server="s1", mode="killed")
        self.store.go_down()

        def back() -> None:
            self.store.come_up(empty=empty)
            if empty:
                self.note(STORE, "server", server="s1", mode="empty")
            self.conductor.after(self._ttl + 0.5 if empty else 0.0, self._store_is_fine)

        self.conductor.after(seconds, back)

    def pause_store(self, seconds: float) -> None:
        """Have the store answer late."""
        if self.store.is_disturbed:
            return
        self.store.is_disturbed = True
        self.note(STORE, "server", server="s1", mode="paused")
        self.store.stop()

        def back() -> None:
            self.store.go_on()
            self._store_is_fine()

        self.conductor.after(seconds, back)

    def _store_is_fine(self) -> None:
        self.store.is_disturbed = False
        self.note(STORE, "server", server="s1", mode="fine")

    # ── the whole ─────────────────────────────────────────────────────────────────────────────

    def run(self, until: float) -> None:
        """Let time pass up to the second *until*."""
        self.conductor.run(round(until * SECOND))

    def close(self) -> None:
        """Leave no task and no loop behind."""
        for host in self._graves:
            if not host.is_dead:
                host.vanish()
            host.clear_away()
