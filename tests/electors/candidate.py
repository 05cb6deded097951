"""A process that stands for election and says what becomes of it: ``candidate.py KIND WHERE TTL``.

Each line is a word and a term. It reads commands: ``resign``, ``stop``.
"""

from __future__ import annotations

import asyncio
import sys

from aiosched import FileElector, PostgresElector, RedisElector


def make(kind, where, ttl):
    if kind == "file":
        return FileElector(where)
    if kind == "redis":
        return RedisElector(where, ttl=ttl)
    return PostgresElector(where, ttl=ttl, mode=kind)


def say(word, term):
    sys.stdout.write(f"{word} {term}\n")
    sys.stdout.flush()


async def stand(kind, where, ttl):
    elector = make(kind, where, float(ttl))
    elector.observe(lambda leads, term: say("leads" if leads else "ended", term))
    await elector.open()
    say("stands", 0)
    while (command := (await asyncio.to_thread(sys.stdin.readline)).strip()) == "resign":
        await elector.resign()
    if command == "stop":
        await elector.aclose()


asyncio.run(stand(*sys.argv[1:]))
