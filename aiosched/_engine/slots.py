"""What a slot of the wheel holds that is more than a list: finer slots, or a crowd with gaps."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop
from typing import Any, Final, Generic, TypeVar

E = TypeVar("E")

_FEW: Final = 16  # dead references that are not worth a look


class Rung(dict[int, Any]):
    """A slot that was split: the finer slots in it that are in use, by their number.

    Attributes:
        order: A heap of their numbers. Some may be dead, but not much more than half of them.
    """

    __slots__ = ("order",)

    def __init__(self) -> None:
        super().__init__()
        self.order: list[int] = []

    def close(self, key: int) -> None:
        """Remove a slot."""
        del self[key]
        order = self.order
        if order[0] == key:
            heappop(order)
        elif len(order) > 2 * len(self) + _FEW:
            order[:] = sorted(self)


class Bucket(Generic[E]):
    """Entries in the order in which they came, any of which may leave before its turn.

    A list does until somebody leaves it, or its turn has come; then it becomes one of these, which
    costs nothing. Who was in the list and leaves is only noted as gone; who comes later can really
    leave. A bucket is empty when and only when `rest` is.

    Args:
        entries: The first of them, in order, at least one. The list is taken over.

    Attributes:
        rest: Who was in the list, the next one last, and not gone.
        gone: Who is in `rest` no more than by a reference; never the next one.
    """

    __slots__ = ("_late", "gone", "rest")

    def __init__(self, entries: list[E]) -> None:
        entries.reverse()  # a list gives its last one away for nothing
        self.rest = entries
        self.gone: set[E] = set()
        self._late: dict[E, None] = {}

    def __len__(self) -> int:
        return len(self.rest) - len(self.gone) + len(self._late)

    def __iter__(self) -> Iterator[E]:
        gone = self.gone
        yield from (entry for entry in reversed(self.rest) if entry not in gone)
        yield from self._late

    def append(self, entry: E) -> None:
        """Put in *entry*, which is not in, as the last."""
        self._late[entry] = None

    def remove(self, entry: E) -> None:
        """Take out *entry*, which is in."""
        if entry in self._late:
            del self._late[entry]
            return
        gone, rest = self.gone, self.rest
        gone.add(entry)
        if len(gone) > _FEW and len(gone) * 2 > len(rest):
            rest[:] = [other for other in rest if other not in gone]
            gone.clear()
        self.settle()

    def settle(self) -> bool:
        """Make the last of `rest`, after it lost one, the next entry again. Is there one?"""
        rest, gone = self.rest, self.gone
        while rest and rest[-1] in gone:
            gone.remove(rest.pop())
        if not rest and self._late:
            rest.extend(reversed(self._late))
            self._late.clear()
        return bool(rest)
