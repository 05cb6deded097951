"""What the demo counts: every occurrence that was to come against what the workers reported."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Said = Literal["ready", "started", "completed", "gone"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker said, or that it is gone.

    Attributes:
        worker: Which worker, from 0.
        said: The word for it.
        due: The occurrence that was started or completed.
        attempt: Which delivery of the occurrence.
    """

    worker: int
    said: Said
    due: datetime | None = None
    attempt: int = 1


@dataclass(slots=True)
class Tally:
    """The runs of each occurrence.

    Attributes:
        expected: All occurrences that must come, in order, as the trigger names them.
        started: Who started an occurrence, in order.
        completed: Who completed it.
        killed: Who was killed in the middle of it.
    """

    expected: tuple[datetime, ...]
    started: dict[datetime, list[int]] = field(default_factory=lambda: defaultdict(list))
    completed: dict[datetime, list[int]] = field(default_factory=lambda: defaultdict(list))
    killed: dict[datetime, int] = field(default_factory=dict)

    def add(self, report: Report) -> None:
        """Count a run's start or end."""
        if report.due is not None:
            book = self.started if report.said == "started" else self.completed
            book[report.due].append(report.worker)

    @property
    def done(self) -> int:
        """How many of the expected were completed."""
        return sum(due in self.completed for due in self.expected)

    @property
    def lost(self) -> int:
        """How many of the expected nobody completed."""
        return len(self.expected) - self.done

    @property
    def double(self) -> int:
        """Runs too many: a start that no death explains, a second end, an unknown occurrence."""
        return sum(self._surplus(due) for due in self.started)

    def _surplus(self, due: datetime) -> int:
        if due not in self.expected:
            return len(self.started[due])
        starts = len(self.started[due]) - (due in self.killed)
        ends = len(self.completed[due]) if due in self.completed else 0
        return max(starts - 1, ends - 1, 0)

    @property
    def is_right(self) -> bool:
        """Whether each occurrence was completed, and none was run twice."""
        return self.lost == self.double == 0

    def __str__(self) -> str:
        return (
            f"occurrences {len(self.expected)}, completed {self.done}, "
            f"double {self.double}, lost {self.lost}"
        )
