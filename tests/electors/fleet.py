"""Candidate processes of one election, and what they say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


class Said(NamedTuple):
    """A line of a candidate, and when it was read."""

    who: Candidate
    word: str
    term: int
    at: float


class Candidate:
    """One process."""

    def __init__(self, fleet, arguments):
        command = [sys.executable, str(Path(__file__).with_name("candidate.py")), *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=ENVIRONMENT
        )
        self._reader = threading.Thread(target=self._read, args=(fleet,), daemon=True)
        self._reader.start()

    def tell(self, command):
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        """Be gone, whatever it does."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()

    def _read(self, fleet):
        for line in self.process.stdout:
            word, term = line.split()
            fleet.hear(Said(self, word, int(term), time.monotonic()))


class Fleet:
    """Candidates of one election."""

    def __init__(self, kind, where, ttl):
        self.said = []
        self._news = threading.Condition()
        self._arguments = (kind, str(where), str(ttl))
        self._all = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for candidate in self._all:
            candidate.end()

    def add(self, count=1):
        """Start so many more, and wait until they stand."""
        candidates = [Candidate(self, self._arguments) for _ in range(count)]
        self._all += candidates
        for candidate in candidates:
            self.wait_for(candidate, "stands", since=0)

    def hear(self, said):
        with self._news:
            self.said.append(said)
            self._news.notify_all()

    def wait(self, wanted, *, since=0, within=20.0):
        """Return the first that is *wanted* of what was said from number *since* on."""
        deadline = time.monotonic() + within
        with self._news:
            while True:
                for said in self.said[since:]:
                    if wanted(said):
                        return said
                if not self._news.wait(deadline - time.monotonic()):
                    raise AssertionError(f"not within {within} s; since then: {self.said[since:]}")

    def wait_for(self, who, word, *, since):
        """Return the first time that *who* said *word* from number *since* on."""
        return self.wait(lambda said: said.who is who and said.word == word, since=since)

    def leader(self):
        """Return who has said last that it leads."""
        return self.wait(lambda said: said.word == "leads" and said.term == self.terms()[-1]).who

    def terms(self):
        """Return the terms in the order in which they began, as far as that was heard."""
        return [said.term for said in self.said if said.word == "leads"]

    def change(self, act, *, within=20.0):
        """Have *act* done to the leader; return seconds until another one led."""
        leader, since, began = self.leader(), len(self.said), time.monotonic()
        act(leader)
        said = self.wait(
            lambda said: said.word == "leads" and said.who is not leader, since=since, within=within
        )
        return said.at - began
