"""The checker finds each broken promise in a history made by hand, and nothing in a sound one."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from tests.fleet.checker import Report, check
from tests.fleet.history import Event, Writer, read
from tests.fleet.rules import Job, Rules

DUE, NEXT = 10_000_000, 20_000_000  # µs; the clock of these histories begins at 0
ONCE = Rules((Job("k", (DUE,)),))
AGAIN = Rules((Job("k", (DUE,), delivery="at_least_once"),))
TWO = Rules((Job("k", (DUE, NEXT)),))


def up(*workers: str) -> list[Event]:
    return [Event(0.0, worker, "up") for worker in workers]


def granted(
    worker: str, asked: float, at: float, fence: int, due: int = DUE, **more
) -> list[Event]:
    about = {"key": "k", "fence": fence, "attempt": 1, **more}
    return [
        Event(asked, worker, "asked", key="k", due=due),
        Event(at, worker, "granted", due=due, **about),
        Event(at, worker, "start", due=due, **{**about, "until": None}),
    ]


def ended(worker: str, at: float, fence: int, due: int = DUE, *, done: bool = True) -> list[Event]:
    return [
        Event(at, worker, "end", key="k", due=due, fence=fence, done=done),
        Event(at + 0.01, worker, "freed", key="k", due=due, fence=fence, held=True),
    ]


def refused(worker: str, asked: float, at: float, reason: str, due: int = DUE) -> list[Event]:
    return [
        Event(asked, worker, "asked", key="k", due=due),
        Event(at, worker, "refused", key="k", due=due, reason=reason),
    ]


def run(worker: str, at: float, fence: int, due: int = DUE, **more) -> list[Event]:
    return granted(worker, at, at + 0.1, fence, due, **more) + ended(worker, at + 0.5, fence, due)


def judge(rules: Rules, *parts: list[Event]) -> Report:
    return check(sorted(chain(*parts), key=lambda event: event.at), rules)


def kinds(report: Report) -> list[str]:
    return [finding.kind for finding in report.findings]


def test_a_sound_history_has_no_findings() -> None:
    report = judge(
        TWO,
        up("a", "b"),
        run("a", 10, 1),
        refused("b", 10.05, 10.2, "held"),
        run("b", 20, 2, NEXT),
    )
    assert report.findings == []
    assert (report.occurrences, report.runs, report.faults) == (2, 2, 0)
    assert not report.explained


def test_it_survives_being_written_and_read(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "history")
    writer.write(2.0, "a", "granted", key="k", due=DUE, fence=7, attempt=1, until=3.5)
    writer.write(1.0, "a", "up")
    writer.close()
    first, second = read([tmp_path / "history"])
    assert (first.at, first.event) == (1.0, "up")
    assert (second.key, second.due, second.fence, second.until) == ("k", DUE, 7, 3.5)


# ── double ────────────────────────────────────────────────────────────────────────────────────


def test_a_second_grant_of_an_occurrence_is_double() -> None:
    assert kinds(judge(ONCE, up("a", "b"), run("a", 10, 1), run("b", 11, 2))) == ["double"]


def test_a_second_grant_is_double_although_the_first_holder_died() -> None:
    dead = [Event(10.3, "a", "killed")]
    history = up("a", "b"), granted("a", 10, 10.1, 1), dead, run("b", 11.5, 2)
    assert kinds(judge(ONCE, *history)) == ["double"]


def test_at_least_once_an_occurrence_may_be_run_again_after_its_holders_death() -> None:
    dead = [Event(10.3, "a", "killed")]
    history = up("a", "b"), granted("a", 10, 10.1, 1), dead, run("b", 11.5, 2, attempt=2)
    report = judge(AGAIN, *history)
    assert report.findings == []
    assert report.failover == pytest.approx(1.3)


def test_at_least_once_a_completed_occurrence_must_not_be_run_again() -> None:
    history = up("a", "b"), run("a", 10, 1), run("b", 11, 2, attempt=2)
    assert kinds(judge(AGAIN, *history)) == ["double"]


def test_at_least_once_it_may_be_run_again_where_its_completion_was_not_heard() -> None:
    first = [event for event in run("a", 10, 1) if event.event != "freed"]
    history = up("a", "b"), first, run("b", 12, 2, attempt=2)
    assert judge(AGAIN, *history).findings == []


def test_a_delivery_that_is_not_counted_is_double() -> None:
    dead = [Event(10.3, "a", "killed")]
    history = up("a", "b"), granted("a", 10, 10.1, 1), dead, run("b", 11.5, 2, attempt=1)
    assert kinds(judge(AGAIN, *history)) == ["double"]


def test_two_starts_under_one_grant_are_double() -> None:
    again = [Event(10.2, "a", "start", key="k", due=DUE, fence=1)]
    assert kinds(judge(ONCE, up("a"), run("a", 10, 1), again)) == ["double"]


# ── overlap ───────────────────────────────────────────────────────────────────────────────────


def test_a_key_held_by_two_overlaps() -> None:
    history = up("a", "b"), granted("a", 10, 10.1, 1), ended("a", 20.5, 1), run("b", 20, 2, NEXT)
    assert kinds(judge(TWO, *history)) == ["overlap"]


def test_runs_of_a_job_that_is_not_exclusive_may_overlap() -> None:
    shared = Rules((replace(TWO.jobs[0], exclusive=False),))
    history = up("a", "b"), granted("a", 10, 10.1, 1), ended("a", 20.5, 1), run("b", 20, 2, NEXT)
    assert judge(shared, *history).findings == []


@pytest.mark.parametrize("what", ["lost", "killed", "until"])
def test_a_holder_believes_in_its_lock_until(what: str) -> None:
    first = granted("a", 10, 10.1, 1, until=15.0 if what == "until" else None)
    end = {
        "lost": [
            Event(15, "a", "lost", key="k", due=DUE, fence=1),
            Event(14, "a", "stalled", seconds=1),
        ],
        "killed": [Event(15, "a", "killed")],
        "until": [Event(10.2, "a", "stopped")],
    }[what]
    history = up("a", "b"), first, end, run("b", 20, 2, NEXT)
    assert "overlap" not in kinds(judge(TWO, *history))


@pytest.mark.parametrize(("store", "found"), [("session", []), ("lease", ["overlap"])])
def test_a_session_may_end_while_its_holder_stands_still(store: str, found: list[str]) -> None:
    still = [Event(15, "a", "stopped"), Event(22, "a", "continued")]
    lost = [Event(22.1, "a", "lost", key="k", due=DUE, fence=1)]
    history = up("a", "b"), granted("a", 10, 10.1, 1), still, lost, run("b", 20, 2, NEXT)
    assert kinds(judge(replace(TWO, store=store), *history)) == found


@pytest.mark.parametrize(("what", "found"), [("network", []), ("server", []), ("", ["overlap"])])
def test_who_stood_still_may_end_before_it_hears_it(what: str, found: list[str]) -> None:
    still = [Event(15, "a", "stopped"), Event(22, "a", "continued")]
    cut = {
        "network": [Event(16, "a", what, mode="reset"), Event(16.1, "a", what, mode="fine")],
        "server": [
            Event(16, "", what, server="s", mode="killed"),
            Event(16.1, "", what, server="s", mode="fine"),
        ],
        "": [],
    }[what]
    first, end = granted("a", 10, 10.1, 1, until=21.0), ended("a", 22.1, 1)
    history = up("a", "b"), first, still, cut, end, run("b", 20, 2, NEXT)
    assert kinds(judge(replace(TWO, store="session"), *history)) == found


def test_a_renewal_moves_the_deadline() -> None:
    first = granted("a", 10, 10.1, 1, until=15.0)
    renewed = [Event(14, "a", "renewed", key="k", fence=1, until=25.0)]
    history = up("a", "b"), first, renewed, ended("a", 22, 1), run("b", 20, 2, NEXT)
    assert kinds(judge(TWO, *history)) == ["overlap"]


# ── fences ────────────────────────────────────────────────────────────────────────────────────


def test_a_fence_that_falls_is_found() -> None:
    assert kinds(judge(TWO, up("a"), run("a", 10, 9), run("a", 20, 8, NEXT))) == ["fence"]


def test_a_fence_that_is_granted_twice_is_found() -> None:
    shared = Rules((replace(TWO.jobs[0], exclusive=False),))
    first, second = granted("a", 20, 20.4, 7), granted("b", 20, 20.4, 7, NEXT)
    history = up("a", "b"), first, ended("a", 21, 7), second, ended("b", 21, 7, NEXT)
    assert kinds(judge(shared, *history)) == ["fence"]


def test_fences_of_grants_at_one_time_may_be_in_any_order() -> None:
    shared = Rules((replace(TWO.jobs[0], exclusive=False),))
    first, second = granted("a", 20, 20.4, 8), granted("b", 20.1, 20.3, 7, NEXT)
    history = up("a", "b"), first, ended("a", 21, 8), second, ended("b", 21, 7, NEXT)
    assert judge(shared, *history).findings == []


# ── lost ──────────────────────────────────────────────────────────────────────────────────────


def test_an_occurrence_that_nobody_asked_for_is_lost() -> None:
    assert kinds(judge(ONCE, up("a"))) == ["lost"]


def test_nothing_is_lost_outside_the_window() -> None:
    assert judge(replace(ONCE, window=(NEXT, NEXT)), up("a")).findings == []


def test_nothing_is_lost_while_nobody_is_well() -> None:
    report = judge(ONCE, up("a"), [Event(9.9, "a", "stopped"), Event(10.5, "a", "continued")])
    assert report.findings == []
    assert report.explained == {"nobody": 1}


def test_nothing_is_lost_while_the_store_is_down() -> None:
    down = [
        Event(9, "", "server", server="s", mode="killed"),
        Event(11, "", "server", mode="fine", server="s"),
    ]
    assert judge(ONCE, up("a"), down).explained == {"nobody": 1}


def test_a_minority_of_servers_that_is_down_explains_nothing() -> None:
    down = [Event(9, "", "server", server="s", mode="killed")]
    assert kinds(judge(replace(ONCE, servers=3), up("a"), down)) == ["lost"]


def test_a_key_that_is_held_explains_a_refusal() -> None:
    history = up("a", "b"), granted("a", 10, 10.1, 1), ended("a", 21, 1)
    report = judge(
        TWO, *history, refused("b", 20, 20.1, "held", NEXT), refused("a", 20, 20.1, "held", NEXT)
    )
    assert report.findings == []
    assert report.explained == {"held": 1}


def test_a_refusal_while_nobody_holds_the_key_is_a_loss() -> None:
    history = up("a", "b"), run("a", 10, 1), refused("b", 20, 20.1, "held", NEXT)
    assert kinds(judge(TWO, *history)) == ["lost"]


@pytest.mark.parametrize(("at", "found"), [(19.2, []), (18.0, ["lost"])])
def test_a_dead_holder_explains_refusals_for_a_ttl(at: float, found: list[str]) -> None:
    dead = [Event(at, "a", "killed")]
    report = judge(
        TWO, up("a", "b"), granted("a", 10, 10.1, 1), dead, refused("b", 20, 20.1, "held", NEXT)
    )
    assert kinds(report) == found
    assert report.explained["holder"] == 1


def test_a_dead_holder_explains_no_refusal_where_the_store_sees_its_death() -> None:
    dead = [Event(19.2, "a", "killed")]
    history = granted("a", 10, 10.1, 1), dead, refused("b", 20, 20.1, "held", NEXT)
    assert kinds(judge(replace(TWO, store="file"), up("a", "b"), *history)) == ["lost"]


def test_at_least_once_a_killed_holder_explains_nothing() -> None:
    dead = [Event(10.3, "a", "killed")]
    assert kinds(judge(AGAIN, up("a", "b"), granted("a", 10, 10.1, 1), dead)) == ["lost"]


def test_at_least_once_what_is_too_old_is_not_run_again() -> None:
    short = Rules((replace(AGAIN.jobs[0], grace=2.0),))
    dead = [Event(10.3, "a", "killed")]
    assert judge(short, up("a", "b"), granted("a", 10, 10.1, 1), dead).findings == []


def test_a_holder_that_gives_up_for_no_reason_loses_its_occurrence() -> None:
    history = granted("a", 10, 10.1, 1), ended("a", 10.5, 1, done=False)
    assert kinds(judge(ONCE, up("a"), *history)) == ["lost"]


def test_a_lock_that_is_lost_for_no_reason_loses_its_occurrence() -> None:
    lost = [Event(10.3, "a", "lost", key="k", due=DUE, fence=1)]
    history = granted("a", 10, 10.1, 1), lost, ended("a", 10.5, 1, done=False)
    assert kinds(judge(ONCE, up("a"), *history)) == ["lost"]


@pytest.mark.parametrize(("servers", "found"), [(3, []), (1, ["lost"])])
def test_a_vote_of_who_was_cut_off_divides_several_servers(servers: int, found: list[str]) -> None:
    cut = [Event(9.98, "a", "network", mode="deaf"), Event(10.8, "a", "network", mode="fine")]
    asks = refused("a", 10, 10.4, "unavailable") + refused("b", 10.1, 10.5, "unavailable")
    assert kinds(judge(replace(ONCE, servers=servers), up("a", "b"), cut, asks)) == found


def test_an_occurrence_that_was_overtaken_in_peace_is_lost() -> None:
    history = up("a", "b"), run("a", 20, 1, NEXT), refused("b", 20.8, 20.9, "superseded")
    calm = [
        Event(9, "a", "asked", key="k", due=DUE),
        Event(9.1, "a", "refused", key="k", due=DUE, reason="too_early"),
    ]
    assert kinds(judge(TWO, *history, calm)) == ["lost"]


# ── stray ─────────────────────────────────────────────────────────────────────────────────────


def test_an_occurrence_that_is_none_is_stray() -> None:
    assert kinds(judge(ONCE, up("a"), run("a", 10, 1), run("a", 15, 2, DUE + 5))) == ["stray"]


def test_a_run_without_a_grant_is_stray() -> None:
    history = up("a"), run("a", 10, 1), [Event(11, "a", "start", key="k", due=DUE, fence=3)]
    assert kinds(judge(ONCE, *history)) == ["stray"]
