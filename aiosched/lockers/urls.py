"""A locker from a URL, as a setting or a command line gives it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from aiosched.lockers._shown import without_password
from aiosched.lockers.file import FileLocker
from aiosched.lockers.memory import MemoryLocker
from aiosched.protocols import ClaimingLocker


def locker_from_url(url: str, /) -> ClaimingLocker:
    """Return the locker that *url* names; nothing is opened.

    ``memory:`` · ``file:PATH`` (a directory: ``file:rel``, ``file:/abs``, ``file:///abs``) ·
    ``redis://HOST`` · ``rediss://HOST`` · ``redlock:redis://ONE,redis://TWO,redis://THREE`` ·
    ``postgresql://HOST/DATABASE``.
    Options of the locker are query parameters, as in ``redis://host/0?ttl=10&prefix=shop``; a
    server's driver is given those that it knows.

    Raises:
        TypeError: *url* is not text.
        ValueError: The scheme or an option is not known, or has an impossible value.
        ModuleNotFoundError: The driver is not installed; it says what to install.
    """
    if not isinstance(url, str):
        raise TypeError(f"url must be text like 'file:locks', got {url!r}")
    scheme, colon, rest = url.partition(":")
    make = _SCHEMES.get(scheme.lower()) if colon else None
    if make is None:
        known = ", ".join(f"{name}:" for name in _SCHEMES)
        raise ValueError(f"url must begin with one of {known} got {without_password(url)!r}")
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
    return FileLocker(unquote(rest), **_typed(options))


def _redis(url: str, rest: str, options: dict[str, str]) -> ClaimingLocker:
    from aiosched.lockers.redis import RedisLocker  # noqa: PLC0415 - it brings the driver

    ours, drivers = _shared_out(options, known=_REDIS_OPTIONS)
    where = _with(f"{url.partition(':')[0].lower()}:{rest}", drivers)
    return _on_redis(RedisLocker, where, ours)


def _redlock(url: str, rest: str, options: dict[str, str]) -> ClaimingLocker:
    from aiosched.lockers.redlock import RedlockLocker  # noqa: PLC0415 - it brings the driver

    if not rest:
        raise ValueError(f"redlock: needs servers, as in redlock:redis://ONE,… got {url!r}")
    ours, drivers = _shared_out(options, known=_REDIS_OPTIONS)
    return _on_redis(RedlockLocker, [_with(each, drivers) for each in rest.split(",")], ours)


def _on_redis(
    make: Callable[..., ClaimingLocker], where: str | list[str], options: dict[str, str]
) -> ClaimingLocker:
    from aiosched.lockers._redis_wire import UnknownParameter  # noqa: PLC0415 - it has the driver

    try:
        return make(where, **_typed(options))
    except UnknownParameter as error:
        raise ValueError(f"{error}; the locker's own are {', '.join(_REDIS_OPTIONS)}") from error


def _postgres(url: str, rest: str, options: dict[str, str]) -> ClaimingLocker:
    from aiosched.lockers.postgres import PostgresLocker  # noqa: PLC0415 - it brings the driver

    ours, drivers = _shared_out(options, known=_POSTGRES_OPTIONS)
    return PostgresLocker(_with(f"{url.partition(':')[0].lower()}:{rest}", drivers), **_typed(ours))


def _shared_out(
    options: dict[str, str], *, known: tuple[str, ...]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the locker's options and the driver's."""
    ours = {name: text for name, text in options.items() if name in known}
    return ours, {name: text for name, text in options.items() if name not in known}


def _with(url: str, options: dict[str, str]) -> str:
    return f"{url}?{urlencode(options)}" if options else url


def _typed(options: dict[str, str]) -> dict[str, Any]:
    """Return *options*, of which a duration without a unit is in seconds."""
    typed: dict[str, Any] = dict(options)
    for name in _DURATIONS & options.keys():
        with suppress(ValueError):
            typed[name] = float(options[name])
    return typed


def _refuse_unknown(url: str, options: dict[str, str], *, known: tuple[str, ...]) -> None:
    for name in options:
        if name not in known:
            takes = f"known are {', '.join(known)}" if known else "there are none"
            raise ValueError(f"unknown option {name!r} in {url!r}; {takes}")


_DURATIONS = {"timeout", "ttl"}
_POSTGRES_OPTIONS = ("mode", "prefix", "schema", "timeout", "ttl")
_REDIS_OPTIONS = ("on_amnesia", "prefix", "timeout", "ttl")

_SCHEMES: dict[str, Callable[[str, str, dict[str, str]], ClaimingLocker]] = {
    "memory": _memory,
    "file": _file,
    "redis": _redis,
    "rediss": _redis,
    "redlock": _redlock,
    "postgresql": _postgres,
    "postgres": _postgres,
}
