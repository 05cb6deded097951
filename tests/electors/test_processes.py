"""Candidates in processes of their own, on real stores: killed, stopped, resigning."""

from __future__ import annotations

import pytest

from tests.electors.fleet import Candidate, Fleet

TTL = 0.8
SLACK = 1.0


@pytest.fixture
def where(request, kind):
    if kind == "file":
        return request.getfixturevalue("tmp_path") / "election"
    if kind == "redis":
        return request.getfixturevalue("redis_server").url
    server = request.getfixturevalue("postgres_server")
    return server.dsn(request.getfixturevalue("postgres_database"))


@pytest.mark.parametrize("kind", ["file", "redis", "advisory", "lease"])
def test_one_leads_after_the_other_whatever_happens_to_them(kind, where):
    with Fleet(kind, where, TTL) as fleet:
        fleet.add(3)
        for _ in range(1 if kind in {"file", "lease"} else 2):
            # What is promised, and as much again for a machine that is busy with other things.
            assert fleet.change(Candidate.kill) < 2 * (TTL + SLACK)
            fleet.add()
            fleet.change(lambda leader: leader.tell("resign"))
            fleet.change(lambda leader: leader.tell("stop"))
            fleet.add()
            if kind != "file":  # where who is stopped lives, and leads
                stopped = fleet.leader()
                fleet.change(Candidate.pause)
                since = len(fleet.said)
                stopped.resume()
                fleet.wait_for(stopped, "ended", since=since)
        terms = fleet.terms()
    assert terms == sorted(set(terms))
    assert len(terms) >= {"file": 4, "lease": 5}.get(kind, 9)


@pytest.mark.parametrize("kind", ["file"])
def test_a_stopped_process_leads_until_it_dies_where_the_kernel_decides(kind, where):
    with Fleet(kind, where, TTL) as fleet:
        fleet.add(2)
        leader = fleet.leader()
        leader.pause()
        with pytest.raises(AssertionError, match="not within"):
            fleet.wait(lambda said: said.word == "leads" and said.who is not leader, within=1.2)
        fleet.change(Candidate.kill)
