"""Virtual time for all tests, aiosched installed or only in the path; real servers for who asks."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    plugins = config.pluginmanager
    if not plugins.has_plugin("aiosched"):  # what the installed entry point is called
        plugins.import_plugin("aiosched.testing.plugin")
    plugins.import_plugin("tests.servers.fixtures")
