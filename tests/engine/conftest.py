"""A scheduler in virtual time, what it told, and a job whose end the test decides."""

from __future__ import annotations

from typing import Any

import pytest

from aiosched import JobChanged, Scheduler
from aiosched.testing import VirtualClock
from tests.engine.support import Make, Told, Work


def pytest_configure(config: pytest.Config) -> None:
    """Provide virtual time also where aiosched is not installed but only lies in the path."""
    plugins = config.pluginmanager
    if not plugins.has_plugin("aiosched"):  # what the installed entry point is called
        plugins.import_plugin("aiosched.testing.plugin")


@pytest.fixture
def make(virtual_time: VirtualClock) -> Make:
    """Make a scheduler in the test's virtual time."""

    def scheduler(**options: Any) -> Scheduler:
        return Scheduler(**{"clock": virtual_time, **options})

    return scheduler


@pytest.fixture
def scheduler(make: Make) -> Scheduler:
    return make()


@pytest.fixture
def told(scheduler: Scheduler) -> Told:
    return Told(scheduler)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def changes(scheduler: Scheduler) -> list[tuple[str, str]]:
    """What happened to which job."""
    found: list[tuple[str, str]] = []
    scheduler.on(JobChanged, lambda event: found.append((event.job.name, str(event.change))))
    return found
