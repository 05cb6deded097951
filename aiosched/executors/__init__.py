"""WHO computes: worker threads and worker processes."""

from aiosched.executors.processes import ProcessExecutor
from aiosched.executors.threads import ThreadExecutor

__all__ = ["ProcessExecutor", "ThreadExecutor"]
