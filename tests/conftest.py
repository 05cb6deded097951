"""Virtual time for all tests, aiosched installed or only in the path; real servers for who asks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A machine that is busy is no reason to fail. CI tries the same examples each time; elsewhere, and
# in `nox -s laws`, they are new ones.
settings.register_profile(
    "aiosched",
    deadline=None,
    derandomize="CI" in os.environ,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("aiosched")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "unmeasured: computes much; what it covers others do, too")
    plugins = config.pluginmanager
    if not plugins.has_plugin("aiosched"):  # what the installed entry point is called
        plugins.import_plugin("aiosched.testing.plugin")
    plugins.import_plugin("tests.servers.fixtures")


@pytest.fixture(autouse=True)
def _without_measuring(request: pytest.FixtureRequest) -> Iterator[None]:
    """Follow no lines of tests that compute much: it takes four times as long."""
    tracer = sys.gettrace()
    if tracer is None or request.node.get_closest_marker("unmeasured") is None:
        yield
        return
    sys.settrace(None)
    yield
    sys.settrace(tracer)
