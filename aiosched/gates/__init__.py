"""WHETHER a run may start: each gate is an async context manager over a run."""

from aiosched.gates.veto import veto

__all__ = ["veto"]
