"""Owner files: who lives, who is dead, and nobody else's file removed."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aiosched.lockers import _owner
from aiosched.lockers._owner import OwnerFile, inode_at, is_alive, sweep


@pytest.fixture
def owner(tmp_path):
    owner = OwnerFile(tmp_path)
    yield owner
    owner.close()


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_an_owner_lives_until_it_is_closed(tmp_path):
    owner = OwnerFile(tmp_path)
    assert is_alive(tmp_path, owner.home)
    assert names(tmp_path) == [owner.home]
    owner.close()
    assert not is_alive(tmp_path, owner.home)
    assert names(tmp_path) == []
    owner.close()


def test_an_owner_file_is_for_its_user_alone(tmp_path, owner):
    assert (tmp_path / owner.home).stat().st_mode & 0o777 == 0o600


def test_owner_files_are_never_the_same(tmp_path, owner):
    other = OwnerFile(tmp_path)
    assert other.home != owner.home
    assert is_alive(tmp_path, owner.home)
    assert is_alive(tmp_path, other.home)
    other.close()


def test_a_dropped_owner_is_dead_and_its_file_is_removed(tmp_path):
    owner = OwnerFile(tmp_path)
    owner.drop()
    owner.drop()
    assert names(tmp_path) == [owner.home]
    assert not is_alive(tmp_path, owner.home)
    assert names(tmp_path) == []


def test_looking_does_not_take_the_lock(tmp_path, owner):
    """Two who look at once must not take each other for the owner."""
    dead = OwnerFile(tmp_path)
    dead.drop()
    looking = os.open(tmp_path / dead.home, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    assert not is_alive(tmp_path, dead.home)
    os.close(looking)


def test_sweeping_removes_the_dead_alone(tmp_path, owner):
    for _ in range(3):
        OwnerFile(tmp_path).drop()
    (tmp_path / "other").touch()
    (tmp_path / "owner-directory").mkdir()
    sweep(tmp_path)
    assert names(tmp_path) == sorted(["other", "owner-directory", owner.home])


def test_an_owner_whose_file_was_removed_does_not_stand(tmp_path, owner):
    assert owner.stands()
    (tmp_path / owner.home).unlink()
    assert not owner.stands()
    (tmp_path / owner.home).touch()
    assert not owner.stands()
    owner.close()
    assert names(tmp_path) == [owner.home], "it is another's"


def test_what_is_under_a_file_is_not_there(tmp_path):
    (tmp_path / "file").touch()
    assert inode_at(tmp_path / "file" / "below") is None


def test_a_file_that_a_sweeper_holds_is_made_under_another_name(tmp_path, monkeypatch):
    tries = []

    def flock(descriptor, operation):
        tries.append(operation)
        if len(tries) == 1:
            raise BlockingIOError(errno.EWOULDBLOCK, "a sweeper looks")

    monkeypatch.setattr(_owner.fcntl, "flock", flock)
    owner = OwnerFile(tmp_path)
    assert names(tmp_path) == [owner.home]
    assert len(tries) == 2
    owner.close()


def test_a_file_that_a_sweeper_removed_is_made_again(tmp_path, monkeypatch):
    removed = []

    def flock(descriptor, operation):
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()

    monkeypatch.setattr(_owner.fcntl, "flock", flock)
    owner = OwnerFile(tmp_path)
    assert names(tmp_path) == [owner.home] != [removed[0].name]
    owner.close()


def test_a_file_that_cannot_be_locked_is_not_left(tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(_owner.fcntl, "flock", flock)
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(OSError, match="no locks here"):
        OwnerFile(tmp_path)
    assert names(tmp_path) == []
    assert len(list(Path("/dev/fd").iterdir())) == before


# ── the second evidence: the process that the file names ──────────────────────────────────────

FORKER = """
import ctypes, os, sys, time
from pathlib import Path
from aiosched.lockers._owner import OwnerFile
owner = OwnerFile(Path(sys.argv[1]))
child = ctypes.CDLL(None).fork()  # not os.fork: nobody is told of it
if child == 0:
    time.sleep(60)
print(owner.home, child, flush=True)
time.sleep(60)
"""


def test_a_forked_child_that_keeps_the_lock_does_not_keep_the_dead_alive(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", FORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with parent:
        home, child = parent.stdout.readline().split()
        try:
            assert is_alive(tmp_path, home)
            parent.kill()
            parent.wait()
            assert not is_alive(tmp_path, home)
        finally:
            os.kill(int(child), signal.SIGKILL)


def rewrite(owner, directory, **facts):
    path = directory / owner.home
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


@pytest.fixture
def gone():
    """The id of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_locked_file_of_a_process_that_is_gone_is_a_dead_ones(tmp_path, owner, gone):
    rewrite(owner, tmp_path, pid=gone)
    assert not is_alive(tmp_path, owner.home)


def test_a_locked_file_of_a_process_whose_id_was_given_to_another_is_a_dead_ones(tmp_path, owner):
    rewrite(owner, tmp_path, started="1")
    assert not is_alive(tmp_path, owner.home)


def test_another_containers_process_ids_say_nothing(tmp_path, owner, gone):
    rewrite(owner, tmp_path, pid=gone, namespace="pid:[1]")
    assert is_alive(tmp_path, owner.home)


def test_another_boots_process_ids_say_nothing(tmp_path, owner, gone):
    rewrite(owner, tmp_path, pid=gone, boot="another")
    assert is_alive(tmp_path, owner.home)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": "x"}', '{"pid": 1}'])
def test_a_locked_file_that_says_nothing_is_a_living_ones(tmp_path, owner, text):
    (tmp_path / owner.home).write_text(text)
    assert is_alive(tmp_path, owner.home)


def test_another_users_process_lives(tmp_path, owner, monkeypatch):
    def kill(pid, number):
        raise PermissionError(errno.EPERM, "another user's")

    monkeypatch.setattr(_owner.os, "kill", kill)
    assert is_alive(tmp_path, owner.home)


def test_where_processes_cannot_be_seen_their_existence_is_enough(tmp_path, monkeypatch):
    for function in (_owner._boot, _owner._namespace):
        function.cache_clear()

    class Nowhere(type(Path())):
        def read_text(self, *args, **kwargs):
            raise FileNotFoundError(self)

        def readlink(self):
            raise FileNotFoundError(self)

    monkeypatch.setattr(_owner, "Path", Nowhere)
    owner = OwnerFile(tmp_path)
    facts = json.loads((tmp_path / owner.home).read_bytes())
    assert facts == {"pid": os.getpid(), "started": None, "boot": None, "namespace": None}
    assert is_alive(tmp_path, owner.home)
    owner.close()
    for function in (_owner._boot, _owner._namespace):
        function.cache_clear()


def test_a_process_with_a_strange_name_is_read_right():
    """Its name stands in the middle of the line and may hold spaces and parentheses."""
    code = (
        "import ctypes, time; ctypes.CDLL(None).prctl(15, b') 1 2 (x', 0, 0, 0);"
        "print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        started = _owner._started(process.pid)
        process.kill()
    assert started.isdigit()
    assert int(started) >= int(_owner._started(os.getpid()))
