"""The pytest plugin: tests in virtual time, by the fixture or the marker `virtual_time`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from importlib import import_module
from typing import Any, TypeVar

import pytest

from aiosched.scheduler import Scheduler
from aiosched.testing.clock import VirtualClock
from aiosched.testing.loop import VirtualLoop
from aiosched.testing.wall import moving_wall

_NAME = "virtual_time"
_FACTORIES = "aiosched loop factories"

F = TypeVar("F", bound=Callable[..., Any])
Factories = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]

_clocks: list[VirtualClock] = []  # of the tests that run now


def _async_fixture(func: F) -> F:
    """Make an async fixture: in strict mode pytest-asyncio only knows those of its own kind."""
    try:
        make: Any = import_module("pytest_asyncio").fixture
    except ModuleNotFoundError:  # then no async test runs at all
        make = pytest.fixture
    fixture: F = make(func)
    return fixture


@pytest.fixture
def virtual_time(request: pytest.FixtureRequest) -> Iterator[VirtualClock]:
    """Run the test on a `VirtualLoop`; give its clock, which `datetime.now()` follows.

    The marker ``@pytest.mark.virtual_time(start, skew=0.0)`` does the same, with other arguments of
    `VirtualClock`. Async tests need pytest-asyncio; `datetime.now()` needs time-machine.
    """
    marker = request.node.get_closest_marker(_NAME)
    clock = VirtualClock(*marker.args, **marker.kwargs) if marker else VirtualClock()
    _clocks.append(clock)
    with moving_wall(clock):
        yield clock
    _clocks.remove(clock)


@_async_fixture
async def aiosched_scheduler(virtual_time: VirtualClock) -> AsyncIterator[Scheduler]:
    """Give a running scheduler in virtual time, which is stopped after the test."""
    async with Scheduler(clock=virtual_time) as scheduler:
        yield scheduler


def virtual_loop() -> VirtualLoop:
    """Return a loop that the clock of the running test counts on."""
    loop = VirtualLoop()
    for clock in _clocks:
        clock.follow(loop)
    return loop


class LoopFactories:
    """Tells pytest-asyncio of the loop. Registered with the first test in virtual time only.

    For pytest-asyncio asks for the loop of every test once anybody answers.
    """

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_asyncio_loop_factories(
        self, item: pytest.Item
    ) -> Generator[None, Factories | None, Factories]:
        """Give the virtual loop to tests that ask for it; others keep what they have."""
        others = yield
        if _is_virtual(item):
            return {"virtual": virtual_loop}
        return others or {"asyncio": asyncio.new_event_loop}


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, Any, Any]:
    """Register the loop factories just before pytest-asyncio asks for them."""
    plugins = metafunc.config.pluginmanager
    if _is_virtual(metafunc.definition) and not plugins.has_plugin(_FACTORIES):
        plugins.register(LoopFactories(), _FACTORIES)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Refuse to run a test on a loop whose time passes, where it would really wait."""
    if _is_virtual(pyfuncitem) and "anyio_backend" in pyfuncitem.fixturenames:
        pytest.fail(
            f"{_NAME} needs pytest-asyncio: anyio's plugin runs tests on a loop of its own",
            pytrace=False,
        )
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers", f"{_NAME}(start, *, skew=0.0): run the test in virtual time, which begins then"
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give tests with the marker the fixture."""
    names = getattr(item, "fixturenames", None)
    if names is not None and _NAME not in names and item.get_closest_marker(_NAME):
        names.insert(0, _NAME)


def _is_virtual(item: pytest.Item) -> bool:
    return _NAME in getattr(item, "fixturenames", ()) or bool(item.get_closest_marker(_NAME))
