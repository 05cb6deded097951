"""Which file systems are shared over a network: neither locks nor shared memory hold there."""

from __future__ import annotations

import re
from pathlib import Path

_NETWORKED = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "gpfs", "lustre", "ncpfs"}
    | {"nfs", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb", "smb3", "smbfs"}
)
_NETWORKED_FUSE = frozenset(
    {"ceph-fuse", "davfs", "gcsfuse", "glusterfs", "goofys", "rclone", "s3fs", "sshfs"}
)
_ESCAPED = re.compile(r"\\([0-7]{3})")
_MOUNTS = Path("/proc/self/mountinfo")


def networked_file_system(path: Path) -> str | None:
    """Return the type of the network file system that holds *path*; None: none is seen."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # not on Linux: it cannot be seen
        return None
    kind = file_system_of(path, mounts)
    fuse = kind.removeprefix("fuse.")
    return kind if kind in _NETWORKED or (fuse != kind and fuse in _NETWORKED_FUSE) else None


def file_system_of(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds the absolute *path*, "" if unknown.

    Args:
        path: Without symbolic links.
        mounts: In the format of Linux' ``/proc/self/mountinfo``.
    """
    best, kind = -1, ""
    for line in mounts.splitlines():
        mount, _, rest = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) < 5 or not rest:  # noqa: PLR2004 - the fifth is where it is mounted
            continue
        point = Path(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4]))
        # Of two mounts on one point the later one covers the earlier.
        if len(point.parts) >= best and path.is_relative_to(point):
            best, kind = len(point.parts), rest.split(" ")[0]
    return kind
