"""FileLocker against the suite."""

from __future__ import annotations

import asyncio
import pickle
import sys

import pytest

from aiosched.lockers import FileLocker
from aiosched.testing.lockers import LockerConformance

HOLDER = """
import asyncio, pickle, sys
from aiosched.lockers import FileLocker

async def hold():
    lock = await FileLocker(sys.argv[1]).claim(pickle.loads(bytes.fromhex(sys.argv[2])))
    print(lock.fence, flush=True)
    await asyncio.sleep(60)

asyncio.run(hold())
"""


class TestFileLocker(LockerConformance):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path):
        self.path = tmp_path / "locks"

    async def connect(self):
        return FileLocker(self.path)

    async def kill_holder(self, claim):
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDER, str(self.path), pickle.dumps(claim).hex(), stdout=-1
        )
        assert await holder.stdout.readline()
        holder.kill()
        await holder.wait()
