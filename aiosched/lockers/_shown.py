"""What may be shown of an address: anything but a password."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"(?:jdbc:)?[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PASSWORD = re.compile(r"((?:pass\w*|pwd)\s*=)[^&]*", re.IGNORECASE)


def without_password(url: str) -> str:
    """Return what may be shown of *url*, or of what was given for one."""
    url = _PASSWORD.sub(r"\1…", url)
    user, at, place = url.rpartition("@")
    if not at:
        return url
    scheme = _SCHEME.match(user)
    return f"{scheme[0] if scheme else ''}…@{place}"
