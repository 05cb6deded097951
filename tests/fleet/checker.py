"""What a history must not have: an occurrence run twice or lost, two holders, fences astray."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import inf
from typing import Literal

from tests.fleet.history import Event
from tests.fleet.holdings import Book, Holding
from tests.fleet.losses import Losses
from tests.fleet.rules import Rules
from tests.fleet.timeline import Timeline

Kind = Literal["double", "lost", "overlap", "fence", "stray"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise that was broken, about one key.

    Kinds:
        double: An occurrence was run again although it must not be.
        lost: It was not completed, and nothing explains that.
        overlap: Two took the key for their own at one time.
        fence: Two grants have one fence, or fences are not in the order of the grants.
        stray: What no job, or no grant, explains.
    """

    kind: Kind
    key: str
    due: int | None
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.key} {self.due}: {self.text}"


@dataclass(slots=True)
class Report:
    """What a history came to.

    Attributes:
        findings: Empty if all promises were kept.
        occurrences: That there were to be.
        runs: Starts of functions.
        faults: That were injected.
        explained: Occurrences that were not completed, by what explains it.
        failover: The longest time from a holder's death to the next run of its occurrence; 0: none.
    """

    findings: list[Finding] = field(default_factory=list)
    occurrences: int = 0
    runs: int = 0
    faults: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    failover: float = 0.0

    def count(self, kind: Kind) -> int:
        """Return how many findings are of *kind*."""
        return sum(finding.kind == kind for finding in self.findings)


def check(history: Iterable[Event], rules: Rules) -> Report:
    """Hold a history, in the order of time, to the rules."""
    events = list(history)
    book, timeline = Book.of(events), Timeline(events, rules)
    losses = Losses(rules, book, timeline)
    report = Report(
        occurrences=sum(len(job.dues) for job in rules.jobs),
        runs=sum(map(len, book.starts.values())),
        faults=timeline.faults,
        failover=_failover(book, timeline),
    )
    report.findings += _strays(book, rules)
    report.findings += _doubles(book, rules)
    report.findings += _overlaps(book, rules, timeline)
    report.findings += _fences(book)
    for job, due, why in losses.of_all():
        if why.is_explained:
            report.explained[why.text] += 1
        else:
            report.findings.append(Finding("lost", job.key, due, why.text))
    return report


def _strays(book: Book, rules: Rules) -> Iterator[Finding]:
    for event, text in book.strays:
        yield Finding("stray", event.key or "", event.due, f"{event.line()}: {text}")
    for (key, due), starts in book.starts.items():
        if key not in rules.keys or due not in rules.keys[key].dues:
            yield Finding("stray", key, due, f"no such occurrence: {starts[0].line()}")


def _doubles(book: Book, rules: Rules) -> Iterator[Finding]:
    granted = defaultdict(list)
    for holding in book.holdings:
        granted[holding.key, holding.due].append(holding)
    for (key, due), holdings in granted.items():
        if key in rules.keys and not rules.keys[key].repeats:
            if len(holdings) > 1:
                text = f"granted to {', '.join(each.worker for each in holdings)}"
                yield Finding("double", key, due, text)
            continue
        for first, second in combinations(sorted(holdings, key=lambda each: each.fence), 2):
            if (why := _why_not_again(first, second)) is not None:
                yield Finding("double", key, due, why)
    for (key, due), starts in book.starts.items():
        for (worker, fence), number in Counter((s.worker, s.fence) for s in starts).items():
            if number > 1:
                text = f"{worker} started it {number} times under fence {fence}"
                yield Finding("double", key, due, text)


def _why_not_again(first: Holding, second: Holding) -> str | None:
    """Say why *second* must not have been granted after *first*, where occurrences may repeat."""
    if first.is_done and first.confirmed and first.freed < second.asked:
        return f"{first.worker} had completed it when {second.worker} asked"
    if first.attempt >= second.attempt:
        return f"delivery {second.attempt} after delivery {first.attempt}"
    return None


def _overlaps(book: Book, rules: Rules, timeline: Timeline) -> Iterator[Finding]:
    for key, holdings in _by_key(book):
        if key not in rules.keys or not rules.keys[key].exclusive:
            continue
        last, until = None, -inf
        for holding in sorted(holdings, key=lambda each: each.granted):
            begin, end = holding.believes(_until(holding, rules, timeline))
            if last is not None and begin < until:
                text = (
                    f"{last.worker} held it under {last.fence} until {until:.6f}, "
                    f"{holding.worker} under {holding.fence} from {begin:.6f}"
                )
                yield Finding("overlap", key, holding.due, text)
            if end > until:
                last, until = holding, end


def _until(holding: Holding, rules: Rules, timeline: Timeline) -> float:
    """Return when *holding* ended for its holder by force.

    A session ends with its connection, and with it the lock, at once. A holder that stands still
    meanwhile hears of it with its next step, if its function has not come to its end with the very
    same step: as it takes none before, it is counted until it stood still.
    """
    life = timeline.lives[holding.worker]
    if rules.store != "session":
        return life.gone
    heard = min(holding.lost, holding.end)
    since = timeline.stood_still_since(holding.worker, heard)
    if holding.lost == inf and not timeline.has_lost_connections(holding.worker, (since, heard)):
        return life.gone
    return min(life.gone, since)


def _fences(book: Book) -> Iterator[Finding]:
    for key, holdings in _by_key(book):
        for fence, number in Counter(each.fence for each in holdings).items():
            if number > 1:
                yield Finding("fence", key, None, f"{fence} was granted {number} times")
        answered = sorted(holdings, key=lambda each: each.granted)
        position, highest = 0, None
        for holding in sorted(holdings, key=lambda each: each.asked):
            while answered[position].granted < holding.asked:
                if highest is None or answered[position].fence > highest.fence:
                    highest = answered[position]
                position += 1
            if highest is not None and highest.fence > holding.fence:
                text = (
                    f"{holding.worker} asked at {holding.asked:.6f} and got {holding.fence}, but "
                    f"{highest.worker} had {highest.fence} since {highest.granted:.6f}"
                )
                yield Finding("fence", key, holding.due, text)


def _failover(book: Book, timeline: Timeline) -> float:
    longest = 0.0
    died: dict[tuple[str, int], float] = {}
    for holding in sorted(book.holdings, key=lambda each: each.granted):
        occurrence = holding.key, holding.due
        if occurrence in died and holding.start < inf:
            longest = max(longest, holding.start - died.pop(occurrence))
        life = timeline.lives[holding.worker]
        if life.killed and not holding.is_done and holding.freed == inf:
            died[occurrence] = life.gone
    return longest


def _by_key(book: Book) -> Sequence[tuple[str, list[Holding]]]:
    keys = defaultdict(list)
    for holding in book.holdings:
        keys[holding.key].append(holding)
    return list(keys.items())
