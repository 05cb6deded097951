"""Plays a plan: workers as processes, each with a network of its own, and all that befalls them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from aiosched.lockers._renewal import boot_time
from tests.fleet.chaos.plan import LASTS, TTL, Fault, Plan
from tests.fleet.chaos.stores import Backend
from tests.fleet.chaos.worker import Orders
from tests.fleet.chaos.zygote import Zygote
from tests.fleet.history import Writer
from tests.fleet.rules import Job, Rules
from tests.servers.process import free_port
from tests.servers.proxy import Proxy

_LEAD = 1.0  # seconds that workers have to come up before the first occurrence
_PATIENCE = 15.0
_TICK = 0.03
_STALL = 0.1  # seconds without a turn that are told


class Drill:
    """One scenario on one store.

    Attributes:
        history: The file that everybody writes to.
        troubles: What went wrong besides what the history says.
    """

    def __init__(
        self, plan: Plan, backend: Backend, zygote: Zygote, history: Path, broken: str = ""
    ) -> None:
        self.history = history
        self.troubles: list[str] = []
        self._plan = plan
        self._backend = backend
        self._zygote = zygote
        self._broken = broken
        self._writer = Writer(history)
        now = time.time_ns() // 1000
        self._epoch = round(now - boot_time() * 1e6)
        self._first = -(-(now + round(_LEAD * 1e6)) // 500_000) * 500_000
        self._workers = [_Worker(number) for number in range(len(plan.skews))]
        self._turns = [asyncio.Lock() for _ in backend.servers]

    def rules(self) -> Rules:
        """Return what the history has to keep to."""
        return rules_of(self._plan, self._first, self._epoch, self._backend)

    async def run(self) -> None:
        """Play it to its end."""
        try:
            async with AsyncExitStack() as stack:
                for worker in self._workers:
                    for server in self._backend.servers:
                        proxy = Proxy(server.port)
                        proxy.port = free_port()  # outgoing connections must not take it meanwhile
                        worker.proxies.append(await stack.enter_async_context(proxy))
                for worker in self._workers:
                    self._start(worker)
                watch = asyncio.create_task(self._tell_of_stalls())
                stack.callback(watch.cancel)
                async with asyncio.TaskGroup() as faults:
                    for fault in self._plan.faults:
                        faults.create_task(self._inflict(fault))
                    await asyncio.sleep(self._until(LASTS))
                # Time for a holder that died last to be followed, and for that run to end.
                await asyncio.sleep(2 * TTL + 1.0 + max(job.length[1] for job in self._plan.jobs))
                await self._end()
        finally:
            self._writer.close()

    def _until(self, at: float) -> float:
        return (self._first - self._epoch) / 1e6 + at - boot_time()

    def _note(self, event: str, worker: str = "", **about: object) -> None:
        self._writer.write(boot_time(), worker, event, **about)

    async def _tell_of_stalls(self) -> None:
        """While this loop has no turn, nobody's network has one."""
        last = boot_time()
        while True:
            await asyncio.sleep(_TICK)
            now = boot_time()
            if now - last > _STALL:
                for worker in self._workers:
                    self._note("stalled", worker.name, seconds=now - last)
            last = now

    # ── workers ───────────────────────────────────────────────────────────────────────────────

    def _start(self, worker: _Worker) -> None:
        worker.incarnation += 1
        plan, number = self._plan, worker.number
        naps = [f.seconds for f in plan.faults if (f.what, f.number) == ("nap", number)]
        worker.nap = max(naps, default=0.0)
        orders = Orders(
            worker.name,
            self._backend.url([proxy.port for proxy in worker.proxies]),
            str(self.history),
            plan.skews[number],
            plan.spread,
            plan.jobs,
            self._first,
            self._first + round(LASTS * 1e6),
            nap=worker.nap,
            broken=self._broken,
        )
        worker.pid = self._zygote.fork(orders)

    async def _end(self) -> None:
        for worker in self._workers:
            _send(worker.pid, signal.SIGTERM)
        deadline = boot_time() + _PATIENCE
        while living := self._zygote.living():
            if boot_time() > deadline:
                names = [worker.name for worker in self._workers if worker.pid in living]
                self.troubles.append(f"{', '.join(names)} did not end")
                for pid in living:
                    _send(pid, signal.SIGKILL)
                return
            await asyncio.sleep(0.02)

    # ── faults ────────────────────────────────────────────────────────────────────────────────

    async def _inflict(self, fault: Fault) -> None:
        await asyncio.sleep(self._until(fault.at))
        if fault.what.startswith("server"):
            async with self._turns[fault.number]:
                await self._disturb_server(fault)
            return
        worker = self._workers[fault.number]
        inflict: dict[str, Callable[[_Worker, float], Awaitable[None]]] = {
            "kill": self._kill,
            "stop": self._stop,
            "leave": self._leave,
            "nap": self._nap,
        }
        if fault.what in inflict:
            async with worker.turn:
                await inflict[fault.what](worker, fault.seconds)
        else:
            async with worker.networks_turn:
                await self._disturb_network(worker, fault)

    async def _kill(self, worker: _Worker, seconds: float) -> None:
        self._note("killed", worker.name)
        _send(worker.pid, signal.SIGKILL)
        await asyncio.sleep(seconds)
        self._start(worker)

    async def _stop(self, worker: _Worker, seconds: float) -> None:
        self._note("stopped", worker.name)
        _send(worker.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        _send(worker.pid, signal.SIGCONT)
        self._note("continued", worker.name)

    async def _leave(self, worker: _Worker, seconds: float) -> None:
        _send(worker.pid, signal.SIGTERM)
        while worker.pid in self._zygote.living():
            await asyncio.sleep(0.02)
        await asyncio.sleep(seconds)
        self._start(worker)

    async def _nap(self, worker: _Worker, seconds: float) -> None:
        self._note("stopped", worker.name, mode="nap")
        _send(worker.pid, signal.SIGUSR1)
        await asyncio.sleep(max(seconds, worker.nap))
        self._note("continued", worker.name)

    async def _disturb_network(self, worker: _Worker, fault: Fault) -> None:
        self._note("network", worker.name, mode=fault.what)
        for proxy in worker.proxies:
            await _disturb(proxy, fault.what)
        await asyncio.sleep(fault.seconds)
        ends_connections = round(fault.at * 1000) % 2 == 0  # else they find out by themselves
        for proxy in worker.proxies:
            proxy.delay(0.0)
            proxy.go_silent(silent=False)
            if ends_connections:
                proxy.reset_all()
            await proxy.accept()
        self._note("network", worker.name, mode="fine")

    async def _disturb_server(self, fault: Fault) -> None:
        server, name = self._backend.servers[fault.number], f"server {fault.number}"
        if fault.what == "server_pause":
            self._note("server", server=name, mode="paused")
            await asyncio.to_thread(server.pause)
            await asyncio.sleep(fault.seconds)
            server.resume()
        else:
            self._note("server", server=name, mode="killed")
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(fault.seconds)
            server.launch()
            await asyncio.to_thread(server.wait)
        self._note("server", server=name, mode="fine")


class _Worker:
    """A worker through all its incarnations."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.incarnation = 0
        self.pid = 0
        self.nap = 0.0  # seconds for which it blocks its loop when it is told to
        self.proxies: list[Proxy] = []
        self.turn = asyncio.Lock()
        self.networks_turn = asyncio.Lock()

    @property
    def name(self) -> str:
        return f"w{self.number + 1}#{self.incarnation}"


def rules_of(plan: Plan, first: int, epoch: int, backend: Backend) -> Rules:
    """Return what *plan* has to keep to on *backend*, begun at *first*."""
    last = first + round(LASTS * 1e6)
    jobs = []
    for job in plan.jobs:
        every = round(job.every * 1e6)
        jobs.append(
            Job(
                job.name,
                range(first, last + 1, every),
                job.delivery,
                exclusive=job.exclusive,
                exact=job.coalesce == "all",
                grace=job.grace,
            )
        )
    servers = max(1, len(backend.servers))
    return Rules(tuple(jobs), backend.semantics, TTL, epoch, servers=servers)


async def _disturb(proxy: Proxy, how: str) -> None:
    match how:
        case "delay":
            proxy.delay(0.15)
        case "silence":
            proxy.go_silent()
        case "deaf":
            proxy.to_client.is_silent = True
        case "mute":
            proxy.to_server.is_silent = True
        case "reset":
            proxy.reset_all()
        case "refuse":
            await proxy.refuse()


def _send(pid: int, how: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, how)
