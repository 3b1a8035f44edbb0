"""A few of the mutations of `make torture`: a refusal in one line, or a description."""

from __future__ import annotations

from pathlib import Path

from checkpoint_mutations import mutation, problems, rich_checkpoint

COUNT = 400


def test_mutated_metadata_is_refused_in_one_line_or_can_be_described(
    checkpoint_file: Path, tmp_path: Path
) -> None:
    base = rich_checkpoint(checkpoint_file, tmp_path / "base").read_bytes()
    file, found = tmp_path / checkpoint_file.name, []
    for number in range(COUNT):
        words, data = mutation(base, 0, number)
        file.write_bytes(data)
        found += [f"number {number} ({words}): {problem}" for problem in problems(file)]
    assert found == []
