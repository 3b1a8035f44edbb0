"""A move to the archive that is killed, or fails, at any of its steps."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from house import HouseMaker
from moves import a_move, digest, files_below, mover_to

from daemon.archive import folder_entry, leaving, mover, rename
from storage.ledger.archive_moves import Archived, ArchivePlan, Move

MORE_FILES_THAN_STEPS = 48

AudioFile = Callable[..., Path]
Noise = Callable[..., np.ndarray]


@pytest.mark.torture
@pytest.mark.parametrize("can_rename", [True, False], ids=["renameat2", "reserve"])
@pytest.mark.parametrize("where", ["same file system", "another file system"])
def test_a_kill_at_any_step_leaves_each_file_in_one_place_which_its_row_names(
    make_house: HouseMaker,
    audio_file: AudioFile,
    noise: Noise,
    where: str,
    can_rename: bool,
    request: pytest.FixtureRequest,
) -> None:
    archive = "archive"
    if where == "another file system":
        archive = str(request.getfixturevalue("elsewhere") / "archive")
        Path(archive).mkdir()
    house = make_house(**{"intake.archive_dir": archive})
    house.archive_thread.idle = True
    for number in range(MORE_FILES_THAN_STEPS):
        source = audio_file("x.wav", noise(seed=number))
        house.drop(source, f"card {number}/a.wav")
    house.live(100)
    moves = house.ledger.moves.outstanding(0, 1000)
    assert len(moves) == MORE_FILES_THAN_STEPS
    house.close()
    walked = walk(ArchivePlan(Path(house.home.root, archive), (house.inbox,)), moves, can_rename)
    assert [len(steps) for steps in walked[:5]] == [0, 1, 2, 3, 4]
    assert walked[-1][-1] == "end", "more steps than files: raise their number"

    again = make_house(**{"intake.archive_dir": archive})
    again.live(100)
    found = again.ask("SELECT archive_path, digest, state FROM recording WHERE archived_at > ''")
    assert len(found) == MORE_FILES_THAN_STEPS
    assert all(digest(path) == known for path, known, _ in found)  # type: ignore[arg-type]
    assert {state for _, _, state in found} == {"done"}
    assert files_below(again.inbox) == []
    left = files_below(Path(again.home.root, archive))
    reserved = [n for n in left if not Path(again.home.root, archive, n).stat().st_size]
    assert len(left) - len(reserved) == MORE_FILES_THAN_STEPS
    assert not reserved or not can_rename


def walk(plan: ArchivePlan, moves: list[Move], can_rename: bool) -> list[list[str]]:
    """The steps that came before the kill, of each move."""
    script = Path(__file__).parents[2] / "fixtures" / "kill_walk.py"
    environ = os.environ | {"PYTHONPATH": str(script.parents[2])}
    printed = subprocess.run(
        [sys.executable, str(script)],
        input=pickle.dumps((plan, moves, can_rename)),
        env=environ,
        stdout=subprocess.PIPE,
        check=True,
    )
    steps: list[list[str]] = json.loads(printed.stdout)
    return steps


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("where", ["same file system", "another file system"])
def test_an_error_at_any_step_leaves_the_file_whole_and_the_next_try_ends_it(
    inbox: Path,
    tmp_path: Path,
    where: str,
    error: int,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    from kill_walk import SMALL_BLOCK_BYTES, Walk

    archive = tmp_path / "archive"
    if where == "another file system":
        archive = request.getfixturevalue("elsewhere") / "archive"
    content = os.urandom(3 * SMALL_BLOCK_BYTES)
    done, last_step = 0, 0

    def step(name: str) -> None:
        nonlocal done
        done += 1
        if done == last_step + 1 and name != "close":
            raise OSError(error, os.strerror(error))

    for last_step in range(MORE_FILES_THAN_STEPS):
        source = inbox / f"{last_step}.wav"
        source.write_bytes(content)
        move = a_move(source, archive / str(last_step) / source.name)
        done = 0
        with monkeypatch.context() as patch:
            for module in (mover, rename, folder_entry, leaving):
                patch.setattr(module, "os", Walk(step))
            renameat2 = Walk(step).watched("renameat2", rename._renameat2)
            patch.setattr(rename, "_renameat2", renameat2)
            patch.setattr(mover, "BLOCK_BYTES", SMALL_BLOCK_BYTES)
            mover_to(archive, inbox).move([move])
        whole = [path for path in (source, Path(os.fsdecode(move.place))) if path.exists()]
        assert whole and all(path.read_bytes() == content for path in whole), last_step
        [result] = mover_to(archive, inbox).move([move])
        assert isinstance(result, Archived)
        assert not source.exists()
        assert digest(move.place) == move.digest
        assert files_below(archive / str(last_step)) == [source.name]
    assert done < MORE_FILES_THAN_STEPS
