"""Programs of Debian for the tests alone: what is not here is unpacked in a folder, not installed.

So nothing on the machine changes, no service is started or restarted, and nobody has to be root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGES = {"pgbouncer": "pgbouncer", "redis-server": "redis-server", "initdb": "postgresql"}
"""The programs that the tests need, and the packages that have them."""

_FLAGS = (
    "--quiet",
    "--yes",
    "--no-install-recommends",
    "--download-only",
    "-o=Debug::NoLocking=1",
    "-o=APT::Sandbox::User=",  # in a folder of ours there is nothing to protect from its downloads
)


def search_path() -> str:
    """Return `PATH` with the folders in which Debian has what users do not run themselves."""
    return os.pathsep.join([os.environ["PATH"], *_folders(Path("/"))])


def unpack(programs: Iterable[str], folder: Path) -> dict[str, str]:
    """Unpack what has *programs*, with all that it needs and that the machine lacks, in *folder*.

    Returns:
        What the environment has to say for them to run.

    Raises:
        FileNotFoundError: It cannot be done here; it says how to get them.
        RuntimeError: apt-get failed; it says how.
    """
    wanted = list(programs)
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise FileNotFoundError(
            f"these tests need {', '.join(wanted)} on the PATH; where there is apt-get they fetch "
            "them themselves, elsewhere install PgBouncer, Redis (7 or newer) and PostgreSQL"
        )
    archives = folder / "archives"
    (archives / "partial").mkdir(parents=True)
    _download([PACKAGES[program] for program in wanted], archives, folder / "lists")
    for archive in sorted(archives.glob("*.deb")):
        _run("dpkg-deb", "-x", archive, folder)
    libraries = (str(at) for at in folder.glob("**/lib/*-linux-gnu*") if at.is_dir())
    return {
        "PATH": os.pathsep.join([*_folders(folder), search_path()]),
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
    }


def _download(packages: list[str], archives: Path, lists: Path) -> None:
    get = ("apt-get", *_FLAGS, f"-o=Dir::Cache::archives={archives}")
    try:
        _run(*get, "install", *packages)
    except RuntimeError:  # the machine's lists of packages are missing or old
        (lists / "partial").mkdir(parents=True)
        fresh = f"-o=Dir::State::lists={lists}"
        _run(*get[:1], "--quiet", *_FLAGS[-2:], fresh, "update")
        _run(*get, fresh, "install", *packages)


def _folders(root: Path) -> Iterator[str]:
    yield from (str(root / at) for at in ("usr/sbin", "usr/bin"))
    servers = (root / "usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(servers, key=lambda at: int(at.parent.name), reverse=True)
    yield from map(str, newest_first)


def _run(*command: str | Path) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{said}")
