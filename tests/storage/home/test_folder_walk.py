"""Folders by handle: what is the same folder, and what lies in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage.home.folder_walk import FolderWalk, folders_apart, overlap
from storage.home.safe_open import FolderApart, open_below, open_folder, stat_below


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


@pytest.mark.parametrize(
    ("one", "other", "do"),
    [
        ("a", "a", True),
        ("a", "a/b", True),
        ("a", "link", True),
        ("link", "a/b", True),
        ("a", "c", False),
        ("link", "c", False),
        ("a", "a/missing", False),
        ("a", "loop", False),
    ],
)
def test_folders_overlap_by_whatever_names(tree: Path, one: str, other: str, do: bool) -> None:
    assert overlap(tree / one, tree / other) == overlap(tree / other, tree / one) == do


def test_of_two_names_of_one_folder_the_first_is_the_inbox(tree: Path) -> None:
    inboxes = [tree / "a" / "b", tree / "link", tree / "c"]
    of_link, of_c = (folders_apart(root, inboxes, None) for root in inboxes[1:])
    own = (tree / "c").stat()
    assert folders_apart(inboxes[0], inboxes, None) == {(own.st_dev, own.st_ino)}
    assert len(of_link) == 2
    assert of_c < of_link


@pytest.mark.parametrize("path", [b"x", b"a/b/x"])
def test_a_file_is_reached_by_its_folders(tree: Path, path: bytes) -> None:
    (tree / os.fsdecode(path)).write_bytes(b"x")
    file = open_below(bytes(tree), path, os.O_RDONLY)
    assert os.fstat(file) == stat_below(bytes(tree), path) == os.lstat(bytes(tree) + b"/" + path)
    os.close(file)


@pytest.mark.parametrize("path", [b"link/x", b"c/x/y"])
def test_a_file_is_not_reached_by_a_link_or_a_file(tree: Path, path: bytes) -> None:
    for name in ("a/b/x", "c/x"):
        (tree / name).write_bytes(b"x")
    with pytest.raises(FileNotFoundError):
        open_below(bytes(tree), path, os.O_RDONLY)
    with pytest.raises(FileNotFoundError):
        stat_below(bytes(tree), path)


def test_a_folder_that_is_apart_is_not_passed_either(tree: Path) -> None:
    found = (tree / "a").stat()
    with pytest.raises(FolderApart):
        open_folder(bytes(tree), b"a/b", apart={(found.st_dev, found.st_ino)})


def test_every_folder_is_listed_but_for_those_that_fail(tree: Path) -> None:
    failed = []
    walk = FolderWalk(tree, lambda folder, error: failed.append(folder))
    walk.enter(b"gone")
    paths = []
    for path, entry in walk.entries():
        paths.append(path)
        if entry.is_dir(follow_symlinks=False):
            walk.enter(path)
    assert sorted(paths) == [b"a", b"a/b", b"c", b"link", b"loop"]
    assert (failed, walk.n_folders) == ([b"gone"], 4)
