"""`import clfd`: what it has for a notebook or a script."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import clfd
from classifier.workers.process import without_main_module

HERE = str(Path(clfd.__file__).parent)
# Decoding starts processes, which would run this very script from its beginning.
SCRIPT = """
import sys, clfd
found = clfd.classify(sys.argv[1], sys.argv[2])
print(*found.status)
"""


def test_what_is_there_can_be_called_and_nothing_else_is_there() -> None:
    assert set(clfd.__all__) == set(clfd.FUNCTIONS)
    assert all(callable(getattr(clfd, name)) for name in clfd.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'listen'"):
        clfd.__getattr__("listen")


def test_a_script_needs_no_guard_round_what_it_does(
    tmp_path: Path, audio_file: Callable[..., Path]
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(audio_file()), str(tmp_path / "home")]
    done = subprocess.run(command, env={"PYTHONPATH": HERE}, capture_output=True, text=True)
    assert done.stdout == "done\n", done.stderr


def test_a_script_is_itself_again_afterwards() -> None:
    main = sys.modules["__main__"]
    before = dict(vars(main))
    with without_main_module():
        assert main.__spec__ is None
    assert dict(vars(main)) == before
