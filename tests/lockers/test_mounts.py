"""Network file systems, as Linux lists what is mounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiosched.lockers import _mounts
from aiosched.lockers._mounts import file_system_of, networked_file_system

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / /mnt/share rw,relatime shared:2 - nfs4 server:/share rw,vers=4.2
31 30 0:31 / /mnt/share/local rw - tmpfs tmpfs rw
32 22 0:32 / /mnt/with\040space rw shared:4 master:5 - cifs //host/x rw
33 22 0:33 / /mnt/ssh rw - fuse.sshfs me@host: rw
34 22 0:34 / /mnt/fuse rw - fuse.ntfs-3g /dev/sdb rw
35 22 0:35 / /mnt/covered rw - nfs server:/old rw
36 22 0:36 / /mnt/covered rw - xfs /dev/sdc rw
a line of another kind
37 22 0:37 / - short
""".strip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home/me/locks", "ext4"),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/locks", "nfs4"),
        ("/mnt/shared", "ext4"),
        ("/mnt/share/local/locks", "tmpfs"),
        ("/mnt/with space/locks", "cifs"),
        ("/mnt/covered/locks", "xfs"),
    ],
)
def test_a_path_is_on_the_innermost_mount(path, kind):
    assert file_system_of(Path(path), MOUNTS) == kind


def test_nothing_mounted_is_nothing_known():
    assert file_system_of(Path("/"), "") == ""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/mnt/share/locks", "nfs4"),
        ("/mnt/with space", "cifs"),
        ("/mnt/ssh/locks", "fuse.sshfs"),
        ("/mnt/fuse/locks", None),
        ("/home/me", None),
    ],
)
def test_network_file_systems_are_seen(path, kind, tmp_path, monkeypatch):
    (tmp_path / "mounts").write_text(MOUNTS)
    monkeypatch.setattr(_mounts, "_MOUNTS", tmp_path / "mounts")
    assert networked_file_system(Path(path)) == kind


def test_where_mounts_are_not_listed_nothing_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(_mounts, "_MOUNTS", tmp_path / "missing")
    assert networked_file_system(Path("/")) is None
