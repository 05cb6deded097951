"""A share in [0, 1) that every host draws alike: of a name and an occurrence."""

from __future__ import annotations

from hashlib import blake2b


def share(name: str, occurrence: int) -> float:
    """Return the share of *name* at *occurrence*."""
    digest = blake2b(f"{name}\0{occurrence}".encode("utf-8", "surrogatepass"), digest_size=7)
    return int.from_bytes(digest.digest(), "big") / (1 << 56)
