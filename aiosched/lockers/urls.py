"""A locker from a URL, as a setting or a command line gives it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

from aiosched.lockers.file import FileLocker
from aiosched.lockers.memory import MemoryLocker
from aiosched.protocols import ClaimingLocker


def locker_from_url(url: str, /) -> ClaimingLocker:
    """Return the locker that *url* names; nothing is opened.

    ``memory:`` · ``file:PATH`` (a directory: ``file:rel``, ``file:/abs``, ``file:///abs``).
    Options of the locker are query parameters, as in ``file:locks?timeout=2s``.

    Raises:
        TypeError: *url* is not text.
        ValueError: The scheme or an option is not known, or has an impossible value.
    """
    if not isinstance(url, str):
        raise TypeError(f"url must be text like 'file:locks', got {url!r}")
    scheme, colon, rest = url.partition(":")
    make = _SCHEMES.get(scheme.lower()) if colon else None
    if make is None:
        known = ", ".join(f"{name}:" for name in _SCHEMES)
        raise ValueError(f"url must begin with one of {known} got {url!r}")
    rest, _, query = rest.partition("?")
    return make(url, rest, dict(parse_qsl(query, keep_blank_values=True)))


def _memory(url: str, rest: str, options: dict[str, str]) -> ClaimingLocker:
    if rest.strip("/"):
        raise ValueError(f"memory: takes no path, got {url!r}")
    _refuse_unknown(url, options, known=())
    return MemoryLocker()


def _file(url: str, rest: str, options: dict[str, str]) -> ClaimingLocker:
    _refuse_unknown(url, options, known=("timeout",))
    if rest.startswith("//"):
        parts = urlsplit(f"file:{rest}")
        if parts.netloc not in ("", "localhost"):
            raise ValueError(f"file: takes no host, use file:PATH or file:///PATH, got {url!r}")
        rest = parts.path
    if not rest:
        raise ValueError(f"file: needs the path of a directory, got {url!r}")
    return FileLocker(unquote(rest), **options)


def _refuse_unknown(url: str, options: dict[str, str], *, known: tuple[str, ...]) -> None:
    for name in options:
        if name not in known:
            takes = f"known are {', '.join(known)}" if known else "there are none"
            raise ValueError(f"unknown option {name!r} in {url!r}; {takes}")


_SCHEMES: dict[str, Callable[[str, str, dict[str, str]], ClaimingLocker]] = {
    "memory": _memory,
    "file": _file,
}
