"""What PostgreSQL is told: two tables, and each question of a batch as one statement.

A record is written only over the version that was read, in the order of the keys. So whoever is
slower writes nothing, however he came to decide; and batches that race never wait in a circle.

`home` names the session whose lock says that the owner lives, `till` the end of the owner's lease;
a replica of either mode heeds both. Moments are microseconds since the epoch.
"""

# ruff: noqa: S608 - the names in the statements are ours, and quoted

from __future__ import annotations

import hashlib

from aiosched.durations import HOUR
from aiosched.lockers._record import FOREVER

_LONGEST_NAME = 63 - len("_occurrence_v1")
_LONGEST_KEY = 512
_DIGEST = b"\xff"  # which no text begins with
_PURGE_AFTER = HOUR
_MOST_PURGED = 500
PAGE = 1_000
"""Records that are shown at once."""

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_A_VERSION = "(random() * 4611686018427387904)::bigint"
"""The first one is nobody else's, whenever the row was made: see `Statements.write`."""

_TYPES = {
    "key": "bytea PRIMARY KEY",
    "name": "bytea",
    "version": "bigint NOT NULL",
    "fence": "bigint NOT NULL",
    "watermark": "bigint",
    "floor": "bigint",
    "open_due": "bigint",
    "attempt": "bigint NOT NULL",
    "owner": "text",
    "last": "text",
    "last_due": "bigint",
    "forget_at": "bigint NOT NULL",
    "home": "bigint",
    "till": "bigint NOT NULL",
}
COLUMNS = tuple(_TYPES)
"""Of a record, in the order in which `Statements.write` takes them."""


class Statements:
    """The statements for one pair of tables.

    Args:
        prefix: Their names begin with it.
        schema: Where they are; None: as the search path says.

    Raises:
        TypeError: One of them is not text.
        ValueError: It is empty, holds a NUL or is too long.
    """

    def __init__(self, prefix: str, schema: str | None) -> None:
        _check_name(prefix, "prefix", _LONGEST_NAME)
        if schema is not None:
            _check_name(schema, "schema", 63)
        where = "" if schema is None else f"{_quoted(schema)}."
        record = f"{where}{_quoted(f'{prefix}_record_v1')}"
        occurrence = f"{where}{_quoted(f'{prefix}_occurrence_v1')}"
        self.record = record
        self.exists = "SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL"
        self.tables = (record, occurrence)
        self.create = _create(record, occurrence)
        self.ask = _ask(record, occurrence)
        self.write = _write(record, occurrence)
        self.release = _release(record)
        self.prolong = _prolong(record)
        self.confirm = _confirm(record)
        self.purge = _purge(record, occurrence)
        self.page = _page(record)
        self.evict = _evict(record)


def spelled(key: str) -> tuple[bytes, bytes | None]:
    """Return what *key* is filed under, and its name where that does not tell it."""
    name = key.encode("utf-8", "surrogatepass")
    if len(name) <= _LONGEST_KEY:
        return name, None
    return _DIGEST + hashlib.blake2b(name, digest_size=32).digest(), name


def unspelled(filed: bytes, name: bytes | None) -> str:
    """Return the key."""
    return (filed if name is None else name).decode("utf-8", "surrogatepass")


def _create(record: str, occurrence: str) -> str:
    columns = ", ".join(f"{name} {kind}" for name, kind in _TYPES.items())
    # IF NOT EXISTS is not enough: two who look at once both create, and one of them fails.
    lock = int.from_bytes(hashlib.blake2b(record.encode(), digest_size=8).digest(), signed=True)
    return f"""
        SELECT pg_advisory_xact_lock({lock});
        CREATE TABLE IF NOT EXISTS {record} ({columns}) WITH (fillfactor = 50);
        CREATE TABLE IF NOT EXISTS {occurrence}
            (key bytea NOT NULL, due bigint NOT NULL, PRIMARY KEY (key, due));
    """


def _ask(record: str, occurrence: str) -> str:
    """Grant what is plain, and return clock and record for the rest.

    Take, for each question, key, name, occurrence, lateness, retention, whether it may be granted
    here, is exclusive, wants redeliveries, and its attempt; our home, a lease, a timeout. Return
    what was read, in their order; and, with the first, the keys that were granted and their fences.

    What is granted here is what `_record.decide` grants where nobody holds the key, and nothing but
    its newest occurrence counts: no exact set, no redelivery, no retention that is over.
    """
    lives = _lives("a", "$10")
    names = ", ".join(_TYPES)
    return f"""
        WITH clock AS MATERIALIZED (SELECT {_NOW} AS now),
        asked AS MATERIALIZED (
            SELECT clock.now, r.version, r.home, r.fence, r.watermark, r.floor, r.open_due,
                r.attempt, r.owner, r.last, r.last_due, r.forget_at, r.till,
                a.key, a.name, a.due, a.keep, a.exclusive, a.asker, a.place,
                a.plain AND (a.due IS NULL OR a.due BETWEEN clock.now - a.late AND clock.now)
                AND (r.key IS NULL
                    OR r.owner IS NULL AND r.floor IS NULL AND r.forget_at >= clock.now
                    AND r.last IS DISTINCT FROM a.asker
                    AND (a.due IS NULL OR r.watermark IS NULL OR r.watermark < a.due)
                    AND (a.due IS NULL OR r.open_due IS NULL OR NOT a.redeliver)) AS granted
            FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[],
                $6::boolean[], $7::boolean[], $8::boolean[], $9::text[]) WITH ORDINALITY
                AS a(key, name, due, late, keep, plain, exclusive, redeliver, asker, place)
            CROSS JOIN clock LEFT JOIN {record} r ON r.key = a.key
        ), granted AS (
            INSERT INTO {record} AS r ({names})
            SELECT key, name, coalesce(version + 1, {_A_VERSION}), greatest(fence + 1, now),
                greatest(watermark, due), NULL,
                CASE WHEN exclusive AND due IS NOT NULL THEN due ELSE open_due END,
                CASE WHEN exclusive AND due IS NOT NULL THEN 1 ELSE coalesce(attempt, 0) END,
                CASE WHEN exclusive THEN asker END, asker, due,
                least(greatest(forget_at, now + keep), {FOREVER}),
                CASE WHEN exclusive THEN nullif($10::bigint, 0) END,
                CASE WHEN exclusive AND $10::bigint = 0 THEN now + $11::bigint ELSE 0 END
            FROM asked WHERE granted ORDER BY key
            {_over_what_was_read()}
            RETURNING r.key, r.fence, r.owner
        ), told AS (
            SELECT array_agg(key) AS keys, array_agg(fence) AS fences,
                CASE WHEN count(owner) > 0 THEN {_timeout("$12")} END
            FROM granted
        )
        SELECT a.now, a.version, a.home, a.fence, a.watermark, a.floor, a.open_due,
            a.attempt, a.owner, a.last, a.last_due, a.forget_at, a.till,
            CASE WHEN a.owner IS NULL OR a.till > a.now THEN false ELSE {lives} END AS lives,
            CASE WHEN a.floor IS NULL THEN NULL ELSE
                (SELECT o.due FROM {occurrence} o WHERE o.key = a.key AND o.due = a.due)
            END AS ran,
            CASE WHEN a.floor IS NULL THEN NULL ELSE
                (SELECT max(o.due) FROM {occurrence} o
                WHERE o.key = a.key AND o.due <= a.now - a.keep)
            END AS newest,
            told.keys, told.fences
        FROM asked a LEFT JOIN told ON a.place = 1 ORDER BY a.place
    """


def _over_what_was_read() -> str:
    updates = ", ".join(f"{name} = excluded.{name}" for name in _TYPES if name != "key")
    return f"ON CONFLICT (key) DO UPDATE SET {updates} WHERE r.version = excluded.version - 1"


def _write(record: str, occurrence: str) -> str:
    """Take the columns; of exact sets, what goes and what comes; a timeout. Return written keys.

    The timeout is the session's from now on when it is idle; None leaves it.
    """
    types = {name: kind.split()[0] for name, kind in _TYPES.items()}
    arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(types.values(), 1))
    names, new = ", ".join(types), ", ".join(f"new.{name}" for name in types)
    go_key, go_until, come_key, come_due, timeout = (f"${len(types) + n}" for n in range(1, 6))
    return f"""
        WITH written AS (
            INSERT INTO {record} AS r ({names})
            SELECT {new} FROM unnest({arrays}) AS new({names}) ORDER BY new.key
            {_over_what_was_read()}
            RETURNING r.key
        ), gone AS (
            DELETE FROM {occurrence} o
            USING written w, unnest({go_key}::bytea[], {go_until}::bigint[]) AS g(key, until)
            WHERE g.key = w.key AND o.key = w.key AND o.due <= g.until RETURNING 1
        ), come AS (
            INSERT INTO {occurrence} (key, due)
            SELECT c.key, c.due
            FROM unnest({come_key}::bytea[], {come_due}::bigint[]) AS c(key, due)
            JOIN written w ON w.key = c.key
            WHERE (SELECT count(*) FROM gone) >= 0 ORDER BY c.key, c.due
            ON CONFLICT DO NOTHING
        )
        SELECT array_agg(key), {_timeout(timeout)} FROM written
    """


def _release(record: str) -> str:
    """Take keys, attempts, occurrences, whether done; our home; a timeout. Return places."""
    return f"""
        WITH given AS MATERIALIZED (
            SELECT r.key, g.place, g.done AND r.open_due = g.due AS completes,
                (r.till > {_NOW} OR r.home = $5) IS TRUE AS held
            FROM unnest($1::bytea[], $2::text[], $3::bigint[], $4::boolean[])
                WITH ORDINALITY AS g(key, owner, due, done, place)
            JOIN {record} r ON r.key = g.key AND r.owner = g.owner
            ORDER BY r.key FOR UPDATE OF r
        ), freed AS (
            UPDATE {record} r SET version = r.version + 1, owner = NULL, home = NULL, till = 0,
                open_due = CASE WHEN given.completes THEN NULL ELSE r.open_due END
            FROM given WHERE r.key = given.key RETURNING given.place, given.held
        )
        SELECT array_agg(place) FILTER (WHERE held), {_timeout("$6")} FROM freed
    """


def _prolong(record: str) -> str:
    """Take keys, attempts, the lease. Return the keys that are still held."""
    return f"""
        WITH held AS MATERIALIZED (
            SELECT r.key, r.owner FROM unnest($1::bytea[], $2::text[]) AS g(key, owner)
            JOIN {record} r ON r.key = g.key AND r.owner = g.owner
            WHERE r.till > {_NOW} ORDER BY r.key FOR UPDATE OF r
        ), renewed AS (
            UPDATE {record} r SET version = r.version + 1, till = {_NOW} + $3
            FROM held WHERE r.key = held.key RETURNING held.owner
        )
        SELECT array_agg(owner) FROM renewed
    """


def _confirm(record: str) -> str:
    """Take keys, attempts, our home. Return the attempts that are still held."""
    return f"""
        SELECT array_agg(r.owner) FROM unnest($1::bytea[], $2::text[]) AS g(key, owner)
        JOIN {record} r ON r.key = g.key AND r.owner = g.owner WHERE r.home = $3
    """


def _purge(record: str, occurrence: str) -> str:
    """Forget some of what counts no more, without waiting for anybody."""
    lives = _lives("r", "$1")
    return f"""
        WITH over AS MATERIALIZED (
            SELECT r.key FROM {record} r
            WHERE r.forget_at < {_NOW} - {_PURGE_AFTER} AND r.till < {_NOW}
                AND (r.owner IS NULL OR NOT {lives})
            ORDER BY r.key LIMIT {_MOST_PURGED} FOR UPDATE OF r SKIP LOCKED
        ), dues AS (DELETE FROM {occurrence} o USING over WHERE o.key = over.key)
        DELETE FROM {record} r USING over WHERE r.key = over.key
    """


def _page(record: str) -> str:
    """Take our home and the last key before the page. The columns are as `record_of` wants."""
    lives = _lives("r", "$1")
    return f"""
        WITH clock AS MATERIALIZED (SELECT {_NOW} AS now)
        SELECT clock.now, r.key, r.name, r.fence, r.watermark, r.floor, r.open_due, r.attempt,
            r.owner, r.last, r.last_due, r.forget_at, r.till,
            r.owner IS NOT NULL AND (r.till > clock.now OR {lives}) AS busy
        FROM {record} r CROSS JOIN clock
        WHERE $2::bytea IS NULL OR r.key > $2 ORDER BY r.key LIMIT {PAGE}
    """


def _evict(record: str) -> str:
    """Take our home and a key. Return how many were held."""
    lives = _lives("r", "$1")
    return f"""
        WITH held AS MATERIALIZED (
            SELECT r.key FROM {record} r
            WHERE r.key = $2 AND r.owner IS NOT NULL AND (r.till > {_NOW} OR {lives})
            FOR UPDATE OF r
        ), freed AS (
            UPDATE {record} r SET version = r.version + 1, owner = NULL, home = NULL, till = 0
            FROM held WHERE r.key = held.key RETURNING 1
        )
        SELECT count(*) FROM freed
    """


def _timeout(milliseconds: str) -> str:
    setting = f"set_config('idle_session_timeout', {milliseconds}::text, false)"
    return f"CASE WHEN {milliseconds}::text IS NOT NULL THEN {setting} END"


def _lives(row: str, mine: str) -> str:
    """Say whether the session of a row's home is there.

    Shared, so that who looks at once with others does not take them for the owner.
    """
    return f"""CASE WHEN {row}.home IS NULL THEN false WHEN {row}.home = {mine} THEN true
        ELSE NOT pg_try_advisory_xact_lock_shared({row}.home) END"""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _check_name(name: str, argument: str, longest: int) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{argument} must be text, got {name!r}")
    if not name or "\0" in name or len(name.encode(errors="replace")) > longest:
        raise ValueError(f"{argument} must have 1 to {longest} bytes and no NUL, got {name!r}")
