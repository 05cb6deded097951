"""A leader among the processes of one host, where no store tells of anything."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from aiosched import FileElector
from tests.electors.support import Told, eventually, leaders, opened, own_tasks


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (5, TypeError, "path must be a directory's path, got 5"),
        ("", ValueError, "path must not be empty, got ''"),
        ("/x/\0y", ValueError, r"path must not contain a NUL, got '/x/\x00y'"),
    ],
)
def test_what_cannot_be_a_path_is_named(path, error, message):
    with pytest.raises(error) as refusal:
        FileElector(path)
    assert str(refusal.value) == message


async def test_a_leader_whose_directory_is_removed_steps_down(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("aiosched.electors._candidacy._WATCH", 0.1)
    path = tmp_path / "election"
    async with opened(FileElector(path)) as elector:
        told, term = Told(elector), elector.term
        shutil.rmtree(path)
        await eventually(lambda: len(told.changes) == 3)
        assert [change for change, _ in told.changes] == [True, False, True]
        assert elector.term > term
    assert "was removed" in caplog.text


async def test_a_leader_looks_at_its_directory_and_leads_on(tmp_path, monkeypatch):
    monkeypatch.setattr("aiosched.electors._candidacy._WATCH", 0.01)
    async with opened(FileElector(tmp_path / "election")) as elector:
        term = elector.term
        await asyncio.sleep(0.2)
        assert elector.term == term


async def test_one_of_many_leads_and_is_followed_when_it_stops(tmp_path):
    electors = [FileElector(tmp_path / "election", timeout=10) for _ in range(5)]
    await asyncio.gather(*(each.open() for each in electors))
    terms = []
    while electors:
        (leader,) = await eventually(lambda: leaders(electors))
        terms.append(leader.term)
        electors.remove(leader)
        await leader.aclose()
    assert terms == sorted(set(terms))
    assert own_tasks() == []
