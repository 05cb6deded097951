"""A server of the tests' own is never orphaned, and tells why it did not start."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.process import Server, _is_gone, free_port

PARENT = """
import sys
from pathlib import Path
from tests.servers.process import Server

log = Path("log").absolute()
server = Server(
    [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"],
    port=0,
    log=log,
    is_ready=lambda: "up" in log.read_text(),
)
server.start()
print(server.pid, flush=True)
input()
"""

if sys.platform == "linux":  # no other system ends the children of the dead

    def test_it_dies_with_who_started_it(tmp_path):
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT],
            cwd=tmp_path,
            env=environment,
            stdin=-1,
            stdout=-1,
            text=True,
        )
        child = int(parent.stdout.readline())
        parent.kill()
        parent.communicate()
        deadline = time.monotonic() + 10
        while not _is_gone(child):
            assert time.monotonic() < deadline
            time.sleep(0.005)


def test_one_that_does_not_start_shows_its_log(tmp_path):
    command = [sys.executable, "-c", "print('no configuration')"]
    server = Server(command, port=free_port(), log=tmp_path / "log", is_ready=lambda: False)
    with pytest.raises(RuntimeError, match="no configuration"):
        server.start()
