"""Virtual time for all tests, also where aiosched is not installed but only lies in the path."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    plugins = config.pluginmanager
    if not plugins.has_plugin("aiosched"):  # what the installed entry point is called
        plugins.import_plugin("aiosched.testing.plugin")
