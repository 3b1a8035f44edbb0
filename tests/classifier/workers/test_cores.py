"""How many cores count under a quota."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifier.workers.cores import quota_cores


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture
def membership(tmp_path: Path) -> Path:
    file = tmp_path / "cgroup"
    file.write_text("3:cpu,cpuacct:/docker/a\n1:memory:/docker/b\n0::/system.slice/clfd.service\n")
    return file


def test_without_a_quota_nothing_is_limited(membership: Path, tmp_path: Path) -> None:
    group(tmp_path / "fs/system.slice/clfd.service", cpu__max="max 100000\n")
    assert quota_cores(membership, tmp_path / "fs") is None


@pytest.mark.parametrize(("quota", "cores"), [("50000", 1), ("150000", 2), ("400000", 4)])
def test_a_quota_counts_in_cores_rounded_up(
    membership: Path, tmp_path: Path, quota: str, cores: int
) -> None:
    group(tmp_path / "fs/system.slice/clfd.service", cpu__max=f"{quota} 100000\n")
    assert quota_cores(membership, tmp_path / "fs") == cores


def test_the_quota_of_a_group_above_counts_as_well(membership: Path, tmp_path: Path) -> None:
    group(tmp_path / "fs/system.slice/clfd.service", cpu__max="max 100000\n")
    group(tmp_path / "fs/system.slice", cpu__max="200000 100000\n")
    assert quota_cores(membership, tmp_path / "fs") == 2


def test_the_older_groups_have_theirs_in_two_files(membership: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fs/cpu,cpuacct/docker/a"
    group(folder, cpu__cfs_quota_us="250000\n", cpu__cfs_period_us="100000\n")
    assert quota_cores(membership, tmp_path / "fs") == 3


def test_in_a_container_its_own_group_is_the_root(membership: Path, tmp_path: Path) -> None:
    group(tmp_path / "fs", cpu__max="100000 100000\n")
    assert quota_cores(membership, tmp_path / "fs") == 1


def test_a_system_without_groups_has_no_quota(tmp_path: Path) -> None:
    assert quota_cores(tmp_path / "none", tmp_path) is None
