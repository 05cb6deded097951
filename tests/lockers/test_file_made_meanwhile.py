"""The file of `FileLocker`, where several processes make it at the same time."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from aiosched.lockers import _sqlite


@pytest.mark.parametrize("moment", ["application_id", "user_version", "sqlite_master"])
def test_a_file_that_another_makes_while_we_look_at_it_is_ours(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "locks.sqlite3"
    connect = sqlite3.connect
    others: list[sqlite3.Connection | None] = []

    def another_makes_it(statement: str) -> None:
        if moment in statement and not others:
            others.append(None)
            try:
                others[0] = _sqlite.open_file(path, timeout=0)
            except sqlite3.OperationalError:
                others[0] = None  # it has to wait for us

    def watched(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = connect(*args, **kwargs)
        if not others:
            connection.set_trace_callback(another_makes_it)
        return connection

    monkeypatch.setattr(sqlite3, "connect", watched)
    ours = _sqlite.open_file(path, timeout=5)
    assert others
    assert _sqlite.read_all(ours) == {}
    for connection in (ours, others[0]):
        if connection is not None:
            connection.close()
