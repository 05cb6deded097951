"""Who is alive: each open locker holds a `flock` on a file of its own, which the kernel lets go.

An owner file's name is never used twice. Who can lock one that belongs to another knows that the
other is dead, however it died. A forked child that kept the descriptor open would keep the lock
as well: then the process that the file names is the second evidence.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from functools import cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, where the locker says so when it is made
    fcntl = None  # type: ignore[assignment]

HAS_FLOCK = fcntl is not None

_PREFIX = "owner-"


class OwnerFile:
    """The proof that this locker lives, for as long as it is open.

    Attributes:
        home: Its name within the directory.
    """

    def __init__(self, directory: Path) -> None:
        self.home, self._descriptor, self._inode = _create(directory)
        self._path = directory / self.home

    def stands(self) -> bool:
        """Tell whether others still find it."""
        return inode_at(self._path) == self._inode

    def close(self) -> None:
        """Die, as others see it, and leave nothing behind."""
        try:
            if self.stands():
                self._path.unlink(missing_ok=True)
        finally:
            self.drop()

    def drop(self) -> None:
        """Close the descriptor alone: what a forked child must do, whose parent lives on."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def is_alive(directory: Path, home: str) -> bool:
    """Tell whether the owner *home* lives; a dead one's file is removed.

    Raises:
        OSError: It cannot be told.
    """
    path = directory / home
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who look at once do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        is_dead = True
    except BlockingIOError:
        is_dead = not _process_lives(descriptor)
    try:
        if is_dead:
            # Still under the lock: whoever made the file a moment ago cannot have locked it yet,
            # and will see that it is gone.
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
    return not is_dead


def sweep(directory: Path) -> None:
    """Remove the files of dead owners."""
    for path in directory.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else's, or gone meanwhile
            is_alive(directory, path.name)


def inode_at(path: Path) -> tuple[int, int] | None:
    """Return the identity of the file at *path*, None where there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _create(directory: Path) -> tuple[str, int, tuple[int, int]]:
    while True:
        home = f"{_PREFIX}{secrets.token_hex(8)}"
        path = directory / home
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, json.dumps(_myself()).encode())
        except BaseException as error:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            if isinstance(error, BlockingIOError):
                continue  # a sweeper looked at it in the moment before it was locked
            raise
        found = os.fstat(descriptor)
        inode = (found.st_dev, found.st_ino)
        if inode_at(path) == inode:
            return home, descriptor, inode
        os.close(descriptor)  # a sweeper removed it in that moment


def _myself() -> dict[str, object]:
    pid = os.getpid()
    return {"pid": pid, "started": _started(pid), "boot": _boot(), "namespace": _namespace()}


def _process_lives(descriptor: int) -> bool:
    """Tell whether the process that an owner file names may be alive."""
    try:
        named = json.loads(os.pread(descriptor, 4096, 0))
        pid, started = int(named["pid"]), named["started"]
        is_comparable = (named["boot"], named["namespace"]) == (_boot(), _namespace())
    except (ValueError, TypeError, LookupError):
        return True  # locked and not yet written
    if not is_comparable:
        return True  # another container's pid says nothing here
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it exists, and is another user's
    now_started = _started(pid)
    return started is None or now_started is None or started == now_started


def _started(pid: int) -> str | None:
    """Return when *pid* started, in ticks since boot; None where that cannot be seen."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold anything; the start is the 22nd field, the 20th behind it.
    return status.rpartition(")")[2].split()[19]


@cache
def _boot() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


@cache
def _namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None
