"""`aiosched locks`, on every kind of store."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from aiosched.cli import locks as locks_command
from aiosched.cli._app import run_app
from aiosched.lockers import locker_from_url
from aiosched.model import Claim

DUE = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
HERE = f"{socket.gethostname()[:40]}:{os.getpid()}"


@contextmanager
def held(url: str, *keys: str) -> Iterator[list[bool]]:
    """Have another loop hold *keys*; what the unlocking of each said is there in the end."""
    ready, over, said = threading.Event(), threading.Event(), []

    async def hold() -> None:
        locker = locker_from_url(url)
        await locker.open()
        locks = [await locker.claim(Claim(key, DUE)) for key in keys]
        ready.set()
        await asyncio.to_thread(over.wait, 60)
        said.extend([await lock.unlock() for lock in locks])
        await locker.aclose()

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    assert ready.wait(30)
    try:
        yield said
    finally:
        over.set()
        thread.join(60)


@pytest.fixture(params=["file", "redis", "redlock", "advisory", "lease"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file:{tmp_path}/locks"
    prefix = secrets.token_hex(4)
    if request.param == "redis":
        return f"{request.getfixturevalue('redis_server').url}?prefix={prefix}"
    if request.param == "redlock":
        servers = request.getfixturevalue("five_redis_servers")[:3]
        return f"redlock:{','.join(each.url for each in servers)}?prefix={prefix}"
    server = request.getfixturevalue("postgres_server")
    database = request.getfixturevalue("postgres_database")
    return f"{server.dsn(database).partition('?')[0]}?mode={request.param}"


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"file:{tmp_path}/locks"


def test_each_key_is_a_line_of_fields(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with held(url, "free"):
        pass
    with held(url, "busy"):
        assert run_app(["locks", url]) == 0
    heading, busy, free = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert heading == ["key", "held", "until", "last claimed", "completed", "fence", "remembered"]
    assert busy[:2] == ["busy", HERE]
    assert busy[2] == "it dies" or busy[2].startswith("in ")
    assert busy[3] == f"{DUE:%a %Y-%m-%d %H:%M:%S} +00:00 UTC"
    assert busy[4] == "running"
    assert int(busy[5]) > 0
    assert busy[6].startswith(("in 6 d ", "in 7 d"))
    assert free[:3] == ["free", "free", "-"]
    assert free[4] == "yes"


def test_json_has_all_of_it(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with held(url, "key"):
        assert run_app(["locks", url, "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert {**record, "fence": 0, "held_until": 0, "forget_at": 0} == {
        "key": "key",
        "held": True,
        "holder": HERE,
        "held_until": 0,
        "last_claimed": DUE.isoformat(),
        "uncompleted": DUE.isoformat(),
        "attempt": 1,
        "fence": 0,
        "forget_at": 0,
    }


def test_a_key_is_taken_away_once(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with held(url, "key", "other") as said:
        assert run_app(["locks", url, "--release", "key"]) == 0
        assert capsys.readouterr().out == "key is free\n"
        assert run_app(["locks", url, "--release", "key"]) == 1
        assert capsys.readouterr().err == "key is not held\n"
    assert said == [False, True]
    assert run_app(["locks", url]) == 0
    key, other = (line.split("\t") for line in capsys.readouterr().out.splitlines()[1:])
    assert (key[4], other[4]) == ("no", "yes")


def test_on_a_terminal_it_is_a_table(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locks_command, "Console", lambda: Console(force_terminal=True, width=160))
    with held(store, "shop:invoices", "a\nb\x1b[31m[bold]"):
        assert run_app(["locks", store]) == 0
    shown = capsys.readouterr().out
    assert "shop:invoices" in shown
    assert r"a\nb\x1b[31m[bold]" in shown
    assert "2 keys, 2 held" in shown


@pytest.mark.parametrize(("most", "shown"), [("2", 2), ("0", 5)])
def test_a_terminal_shows_some_of_many_and_the_held_ones_first(
    most: str,
    shown: int,
    store: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(locks_command, "Console", lambda: Console(force_terminal=True, width=160))
    with held(store, "key 1", "key 2", "key 3", "key 4"):
        pass
    with held(store, "key 5"):
        assert run_app(["locks", store, "-n", most]) == 0
    _heading, *rows, summary = capsys.readouterr().out.splitlines()
    assert len(rows) == shown
    assert "key 5" in rows[0]
    assert "5 keys, 1 held" in summary
    assert ("2 are shown, -n 0 shows all" in summary) == (shown == 2)


def test_a_negative_number_is_a_mistake(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["locks", store, "-n", "-1"]) == 2
    assert capsys.readouterr().err == "aiosched: -n must be at least 0, got -1\n"


@pytest.mark.parametrize(("answer", "code", "is_held"), [("y\n", 0, False), ("n\n", 1, True)])
def test_on_a_terminal_it_asks_before_it_takes_away(
    answer: str, code: int, is_held: bool, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda question: answer == "y\n")
    with held(store, "key") as said:
        assert run_app(["locks", store, "--release", "key"]) == code
    assert said == [is_held]


def test_fields_stay_on_their_line_whatever_a_key_is(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(store, "a\tb\n\ud800"):
        assert run_app(["locks", store]) == 0
        listed = capsys.readouterr().out.splitlines()
        assert run_app(["locks", store, "--json"]) == 0
    assert listed[1].split("\t")[0] == r"a\tb\n\ud800"
    assert json.loads(capsys.readouterr().out)[0]["key"] == "a\tb\n\ud800"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory:", "memory: is within each process"),
        ("mysql://host", "url must begin with one of"),
        ("redis://127.0.0.1:1?ttl=x", "ttl"),
        ("file:absent/locks", "there is no directory"),
        ("redis://127.0.0.1:1", "127.0.0.1:1"),
        ("redlock:redis://127.0.0.1:1,redis://127.0.0.1:2,redis://127.0.0.1:3", "127.0.0.1:"),
        ("postgresql://127.0.0.1:1/shop", "127.0.0.1:1"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--release", "key"]])
def test_a_mistake_is_one_line_and_2(
    url: str, said: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["locks", url, *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert said in captured.err
