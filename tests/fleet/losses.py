"""Which occurrences were not completed, and whether what went on at that time explains it.

An occurrence is lost unless its holder met with something, or no replica was well when it came due,
or each replica that was well had a good reason to let it pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from tests.fleet.holdings import Ask, Book, Holding, Pass
from tests.fleet.rules import Job, Rules
from tests.fleet.timeline import Timeline

_MOST_OF = 0.85  # of a lease: a yes that comes later is of no use any more


@dataclass(frozen=True, slots=True)
class Why:
    """An explanation by its name, or what is wrong."""

    text: str
    is_explained: bool


class Losses:
    """Looks for them in one history."""

    def __init__(self, rules: Rules, book: Book, timeline: Timeline) -> None:
        self._rules = rules
        self._book = book
        self._timeline = timeline
        self._of_key: dict[str, list[Holding]] = defaultdict(list)
        self._of_due: dict[tuple[str, int], list[Holding]] = defaultdict(list)
        for holding in book.holdings:
            self._of_key[holding.key].append(holding)
            self._of_due[holding.key, holding.due].append(holding)
        self._asks_of_key: dict[str, list[Ask]] = defaultdict(list)
        for (key, _), asks in book.asks.items():
            self._asks_of_key[key] += asks

    def of_all(self) -> Iterator[tuple[Job, int, Why]]:
        """Yield each occurrence of the window that nobody completed, and why."""
        for job in self._rules.jobs:
            for due in job.dues:
                if self._counts(due) and not any(h.is_done for h in self._of_due[job.key, due]):
                    yield job, due, self._why(job, due)

    def _counts(self, due: int) -> bool:
        window = self._rules.window
        return window is None or window[0] <= due <= window[1]

    def _why(self, job: Job, due: int) -> Why:
        holdings = self._of_due[job.key, due]
        if not holdings:
            return self._why_not_granted(job, due)
        last = max(holdings, key=lambda each: each.fence)
        if job.repeats and any(last.asked <= at for at in self._timeline.emptied):
            return Why("forgotten", True)
        if job.repeats and not self._is_too_old_to_repeat(job, last):
            return Why(f"{_names(holdings)} did not complete it, and nobody after them", False)
        broken = [each for each in holdings if not self._met_with_something(each)]
        if broken:
            return Why(f"{_names(broken)} held it undisturbed and did not complete it", False)
        return Why("holder", True)

    # ── it was granted ────────────────────────────────────────────────────────────────────────

    def _is_too_old_to_repeat(self, job: Job, last: Holding) -> bool:
        """Tell whether its grace was over before another one had the time to see it free."""
        if job.grace is None:
            return False
        left_at = min(last.freed, last.lost, self._timeline.lives[last.worker].gone, last.end)
        free = self._timeline.may_hold_until(last.worker, left_at) if left_at < inf else inf
        deadline = self._rules.moment(last.due) + job.grace
        return free + self._rules.recovery > deadline

    def _met_with_something(self, holding: Holding) -> bool:
        life = self._timeline.lives[holding.worker]
        if life.gone < holding.end or (life.leaving < inf and holding.end > life.leaving):
            return True
        span = holding.asked, min(holding.lost, holding.end, self._timeline.end)
        return holding.lost < inf and not self._timeline.is_quiet(holding.worker, span)

    # ── it was not ────────────────────────────────────────────────────────────────────────────

    def _why_not_granted(self, job: Job, due: int) -> Why:
        moment, reach = self._rules.moment(due), self._rules.reach + self._rules.slack
        well = self._timeline.well((moment - reach, moment + reach))
        if not well:
            return Why("nobody", True)
        reasons = set()
        for worker in well:
            passed = self._book.passes.get((job.key, due, worker))
            if passed is None:
                return Why(f"{worker} was well and did not ask for it", False)
            if not self._is_good(job, due, passed):
                return Why(f"{worker} was well and let it pass: {passed.reason}", False)
            reasons.add(passed.reason)
        return Why("+".join(sorted(reasons)), True)

    def _is_good(self, job: Job, due: int, passed: Pass) -> bool:
        match passed.reason:
            case "held" | "too_late":
                since = passed.asked if passed.reason == "held" else self._rules.moment(due)
                return job.exclusive and self._was_busy(job, due, (since, passed.at))
            case "already_ran":
                asks = self._book.asks[job.key, due]
                return not job.repeats and any(
                    self._is_unsure(a) and a.at < passed.at for a in asks
                )
            case "unavailable":
                return self._was_divided(job, due, passed) or self._was_unlucky(job, due, passed)
            case "superseded":
                return not job.exact and self._was_overtaken(job, due, passed)
            case "job_limit":
                return self._was_at_it(job, due, passed)
        return False

    def _was_busy(self, job: Job, due: int, span: tuple[float, float]) -> bool:
        """Tell whether somebody may have held the key in *span*."""
        return any(begin <= span[1] and end >= span[0] for begin, end in self._may_hold(job, due))

    def _was_unlucky(self, job: Job, due: int, passed: Pass) -> bool:
        """Tell whether the replica had waited for the key, and then met with something."""
        waited = self._rules.moment(due), passed.asked
        is_quiet = self._timeline.is_quiet(passed.worker, (passed.asked, passed.at))
        return not is_quiet and job.exclusive and self._was_busy(job, due, waited)

    def _was_divided(self, job: Job, due: int, passed: Pass) -> bool:
        """Tell whether somebody who fell silent may have left his vote with some of the servers.

        While one of several servers is down or slow, the rest are then no majority for anybody
        else, until that vote ends like a lease; which is no refusal by a holder, but no yes either.
        """
        moment = self._rules.moment(due)
        rivals = [
            ask
            for ask in self._asks_of_key[job.key]
            if ask.worker != passed.worker and (job.exclusive or ask.due == due)
        ]
        return self._rules.servers > 1 and any(
            self._is_unsure(ask)
            and ask.at <= passed.at
            and self._may_be_left_until(ask) >= moment
            and not self._timeline.is_quiet(ask.worker, (ask.at, min(ask.answered, passed.at)))
            for ask in rivals
        )

    def _may_be_left_until(self, ask: Ask) -> float:
        heard = min(ask.answered, self._timeline.lives[ask.worker].gone)
        return self._timeline.may_hold_until(ask.worker, max(heard, ask.at))

    def _is_unsure(self, ask: Ask) -> bool:
        """Tell whether the store may have said yes, and the asker never heard it, or too late.

        Who stood still while asking may have let go of it, and asked again when it was taken.
        """
        if ask.is_open or ask.answered - ask.at >= _MOST_OF * self._rules.ttl:
            return True
        still = self._timeline.lives[ask.worker].still
        return ask.answer != "granted" and any(
            begin <= ask.answered and end >= ask.at for begin, end in still
        )

    def _may_hold(self, job: Job, due: int) -> Iterator[tuple[float, float]]:
        for holding in self._of_key[job.key]:
            yield holding.asked, self._may_be_free_at(holding)
        for ask in self._asks_of_key[job.key]:
            if self._is_unsure(ask):
                yield ask.at, self._may_be_left_until(ask)

    def _may_be_free_at(self, holding: Holding) -> float:
        if holding.confirmed:
            return holding.freed
        gone = self._timeline.lives[holding.worker].gone
        left = min(holding.freed, holding.lost, gone)
        if left == inf:  # no word of its release
            left = holding.end
        return inf if left == inf else self._timeline.may_hold_until(holding.worker, left)

    def _was_overtaken(self, job: Job, due: int, passed: Pass) -> bool:
        """Tell whether a trouble, or a busy key, let a newer one go first."""
        newer = [h.asked for h in self._of_key[job.key] if h.due > due]
        newer += [a.at for a in self._asks_of_key[job.key] if a.due > due and self._is_unsure(a)]
        if not any(at < passed.at for at in newer):
            return False
        since = self._rules.moment(due), passed.at
        # A clock that is behind comes late to what the others found busy.
        return not self._timeline.is_calm(since) or (
            job.exclusive and self._was_busy(job, due, since)
        )

    def _was_at_it(self, job: Job, due: int, passed: Pass) -> bool:
        """Tell whether the replica was busy with another occurrence of the job."""
        slack = self._rules.slack
        spans = [
            (h.asked, min(h.freed, max(h.end, h.lost)))
            for h in self._of_key[job.key]
            if h.worker == passed.worker and h.due != due
        ]
        spans += [
            (a.at, a.answered)
            for a in self._asks_of_key[job.key]
            if a.worker == passed.worker and a.due != due
        ]
        return any(begin <= passed.at <= end + slack for begin, end in spans)


def _names(holdings: list[Holding]) -> str:
    return ", ".join(each.worker for each in holdings)
