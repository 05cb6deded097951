"""What must be let go before this process forks, and taken up again after.

SQLite keeps state for the whole process that a child must never inherit, and a child that keeps
an owner file open keeps its lock. So everything registered here is at rest while a fork goes on.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """What wants to know of forks. The three are called in the thread that forks."""

    def before_fork(self) -> None: ...
    def after_fork_in_parent(self) -> None: ...
    def after_fork_in_child(self) -> None: ...


_registered: WeakSet[Forkable] = WeakSet()
_resting: list[Forkable] = []
_forking = threading.Lock()


def register(thing: Forkable) -> None:
    """Tell *thing* of forks for as long as it lives."""
    with _forking:
        _registered.add(thing)


def _before() -> None:
    _forking.acquire()
    for thing in list(_registered):
        thing.before_fork()
        _resting.append(thing)


def _after_in_parent() -> None:
    for thing in _resting:
        thing.after_fork_in_parent()
    _resting.clear()
    _forking.release()


def _after_in_child() -> None:  # pragma: no cover - measured in no child that a test forks
    for thing in _resting:
        thing.after_fork_in_child()
    _resting.clear()
    _forking.release()


if hasattr(os, "register_at_fork"):  # pragma: no branch - all but Windows
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
