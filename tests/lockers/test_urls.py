"""Lockers from URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiosched.lockers import FileLocker, MemoryLocker, locker_from_url


@pytest.mark.parametrize("url", ["memory:", "memory://", "MEMORY:"])
def test_memory(url):
    assert isinstance(locker_from_url(url), MemoryLocker)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:locks", "locks"),
        ("file:var/run/locks", "var/run/locks"),
        ("file:./locks", "locks"),
        ("file:/var/tmp/locks", "/var/tmp/locks"),
        ("file:///var/tmp/locks", "/var/tmp/locks"),
        ("file://localhost/var/tmp/locks", "/var/tmp/locks"),
        ("file:my%20locks%3F", "my locks?"),
        ("FILE:locks#1", "locks#1"),
    ],
)
def test_a_file_locker_of_a_directory(url, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    locker = locker_from_url(url)
    assert isinstance(locker, FileLocker)
    assert locker.path == tmp_path / Path(path)
    assert list(tmp_path.iterdir()) == []


def test_options_are_query_parameters(tmp_path):
    locker = locker_from_url(f"file:{tmp_path}/locks?timeout=250ms")
    assert locker._timeout == 0.25


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:locks?ttl=5", r"unknown option 'ttl' in 'file:locks\?ttl=5'; known are timeout"),
        ("memory:?ttl=", r"unknown option 'ttl' in 'memory:\?ttl='; there are none"),
        ("file:locks?timeout=soon", "timeout must look like '90s' or '1h30m', got 'soon'"),
        ("file:", "file: needs the path of a directory, got 'file:'"),
        ("file:a%00b", "path must not contain a NUL, got "),
        ("file:?timeout=1s", "file: needs the path of a directory"),
        ("file://host/locks", "file: takes no host"),
        ("memory:locks", "memory: takes no path"),
        ("locks", "url must begin with one of memory:, file:.* got 'locks'"),
        ("mysql://host/db", "url must begin with one of memory:, file:.* got 'mysql://host/db'"),
        ("mysql://me:pw@host/db", "url must begin with one of .* got 'mysql://…@host/db'"),
        ("", "url must begin with one of memory:, file:.* got ''"),
    ],
)
def test_a_wrong_url_is_a_value_error_that_shows_it(url, message):
    with pytest.raises(ValueError, match=message):
        locker_from_url(url)


def test_a_url_is_text():
    with pytest.raises(TypeError, match="url must be text"):
        locker_from_url(Path("locks"))


def test_an_existing_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"path must be a directory, and .* is a file"):
        locker_from_url(f"file:{tmp_path}/file")


def test_the_package_says_what_it_does_not_have():
    import aiosched.lockers

    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = aiosched.lockers.Nonsense
    named = set(aiosched.lockers.__all__)
    assert named == {*aiosched.lockers._HOMES, "LockRecord"}
    assert aiosched.lockers.MemoryLocker is MemoryLocker
