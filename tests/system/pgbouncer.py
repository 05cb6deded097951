"""PgBouncer in transaction mode, in front of a PostgreSQL of the tests."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.servers.postgres import PostgresServer, unprivileged_user
from tests.servers.process import HOST, Server, free_port

SHARED = 3
"""So many sessions of PostgreSQL serve all clients."""

_INI = """
[databases]
* = host={host} port={behind} user=postgres

[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {shared}
max_client_conn = 200
server_round_robin = 1
server_login_retry = 0.1
log_connections = 0
log_disconnections = 0
"""


class PgBouncer(Server):
    """A pooler that hands each transaction to whichever session is free.

    Args:
        program: ``pgbouncer``.
        home: An existing folder that all users can reach, for its files.
        server: Where it leads.
    """

    def __init__(self, program: Path, home: Path, server: PostgresServer) -> None:
        port, user, settings = free_port(), unprivileged_user(), home / "pgbouncer.ini"
        settings.write_text(
            _INI.format(host=HOST, port=port, behind=server.port, shared=SHARED), encoding="utf-8"
        )
        super().__init__(
            [program, settings], port=port, log=home / "log", is_ready=self._answers, user=user
        )
        if user is not None:
            os.chown(home, *user)

    def dsn(self, database: str = "postgres") -> str:
        """Return the URL of *database* behind it."""
        return f"postgresql://postgres@{HOST}:{self.port}/{database}"

    def _answers(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True
