"""Who asks a store: names of attempts, of which people can tell the process."""

from __future__ import annotations

import os
import secrets
import socket

_LONGEST_HOST = 40


def new_asker() -> str:
    """Return what the attempts of one asker begin with: host, process, and something unique."""
    host = socket.gethostname()[:_LONGEST_HOST]
    return f"{host}:{os.getpid()}:{secrets.token_urlsafe(9)}"


def holder_of(attempt: str) -> str:
    """Return host and process of who made *attempt*."""
    return attempt.rpartition(":")[0] or attempt
