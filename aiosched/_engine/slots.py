"""What a slot of the wheel may be besides one entry or a list of them: split, or left by somebody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

E = TypeVar("E")

_FEW: Final = 16  # gone entries that are not worth a look


class Rung(dict[int, Any]):
    """A slot that was split: the finer slots in it, by their number."""

    __slots__ = ()


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
