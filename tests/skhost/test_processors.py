"""Processors of a container: quotas of both kinds of control groups, as Linux writes them."""

import os
from pathlib import Path

import pytest

from skhost.processors import available


@pytest.fixture
def four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})


def groups(tmp_path: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    root, own_group = tmp_path / "cgroup", tmp_path / "self"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    own_group.write_text(own)
    return root, own_group


@pytest.mark.usefixtures("four_processors")
@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("800000 100000", 4),
        ("max 100000", 4),
        ("", 4),
    ],
)
def test_a_quota_bounds_the_processors(tmp_path: Path, quota: str, expected: int) -> None:
    assert available(*groups(tmp_path, "0::/\n", {"cpu.max": f"{quota}\n"})) == expected


@pytest.mark.usefixtures("four_processors")
def test_a_group_around_the_own_one_counts_too(tmp_path: Path) -> None:
    files = {"pod/cpu.max": "100000 100000\n", "pod/inner/cpu.max": "300000 100000\n"}
    assert available(*groups(tmp_path, "0::/pod/inner\n", files)) == 1
    assert available(*groups(tmp_path, "0::/other\n", files)) == 4


@pytest.mark.usefixtures("four_processors")
@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
def test_the_first_version_of_control_groups_is_read_as_well(tmp_path: Path, folder: str) -> None:
    files = {f"{folder}/cpu.cfs_quota_us": "300000\n", f"{folder}/cpu.cfs_period_us": "100000\n"}
    assert available(*groups(tmp_path, "5:cpu,cpuacct:/\n1:memory:/x\n", files)) == 3
    files[f"{folder}/cpu.cfs_quota_us"] = "-1\n"
    assert available(*groups(tmp_path, "5:cpu,cpuacct:/\n", files)) == 4


@pytest.mark.usefixtures("four_processors")
def test_without_control_groups_the_affinity_decides(tmp_path: Path) -> None:
    assert available(tmp_path / "none", tmp_path / "nothing") == 4
