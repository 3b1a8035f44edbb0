"""Clips as files of their own, by label, with a table beside them that `clfd train` takes.

The recordings are untrusted, so they are decoded in worker processes, as for training: a clip has
the mean of the channels, as it was scored.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from classifier.audio.decode import DecodedAudio, Segment
from classifier.errors import FileChanged
from classifier.workers.pool import Answer, DecodePool
from storage.export.text_formats import output, write_csv
from trainer.clips.clip_selection import Cut
from trainer.data.dataset import size_or_zero
from trainer.errors import TrainerError

AudioFile = Literal["flac", "wav"]

TABLE = "labels.csv"
# Not `start` and `end`: these would name a part of the clip's own file.
COLUMNS = (
    *("path", "label", "confidence", "group", "recording", "cut_from", "cut_to", "clip_at"),
    "checkpoint",
)
IN_FLIGHT = 32  # clips that workers are asked for at a time
FLAC_RATES_HZ = 655_350  # of more the format knows nothing


def cut_clips(
    cuts: Sequence[Cut],
    files: Mapping[int, Path],
    folder: Path,
    suffix: AudioFile,
    pool: DecodePool[int],
    on_clip: Callable[[], None] = lambda: None,
) -> tuple[int, Counter[str]]:
    """Writes the clips; returns how many, and how many were left out for which reason.

    `files` are those of the recordings by their ids. Raises TrainerError where a table is there
    already, or the folder cannot be written.
    """
    table = folder / TABLE
    if table.exists():
        raise TrainerError(f"{table} is there already; name another folder")
    written: dict[int, dict[str, object]] = {}
    left_out: Counter[str] = Counter()
    waiting = iter(range(len(cuts)))
    for at in range(min(IN_FLIGHT, len(cuts))):
        pool.submit(next(waiting), _segment(cuts[at], files))
    try:
        for _ in cuts:
            at, answer = pool.wait()
            if isinstance(clip := _clip_of(answer, cuts[at]), str):
                left_out[clip] += 1
            elif (name := _write(cuts[at], clip, folder, suffix)) is None:
                left_out["of which there is a file already"] += 1
            else:
                written[at] = _row(cuts[at], name)
            if (following := next(waiting, None)) is not None:
                pool.submit(following, _segment(cuts[following], files))
            on_clip()
    except OSError as error:
        raise TrainerError(f"cannot write clips into {folder}: {error.strerror}") from error
    with output(table) as stream:
        write_csv(stream, COLUMNS, (written[at] for at in sorted(written)))
    return len(written), left_out


def _segment(cut: Cut, files: Mapping[int, Path]) -> Segment:
    n_samples = max(1, math.ceil((cut.end_s - cut.start_s) * cut.sample_rate_hz))
    file = files[cut.recording_id]
    return Segment(
        path=bytes(file),
        sample_rate_hz=cut.sample_rate_hz,
        clip_samples=n_samples,
        hop_samples=n_samples,
        max_clips=1,
        start_seconds=cut.start_s,
        end_seconds=cut.end_s,
        size_bytes=size_or_zero(file),
        accepts_damaged=True,
    )


def _clip_of(answer: Answer, cut: Cut) -> np.ndarray | str:
    """Samples (S,), or why there are none."""
    if isinstance(answer, FileChanged):
        return "whose file changed while it was read"
    if not isinstance(answer, DecodedAudio):
        return "whose file is gone" if answer.kind == "vanished" else f"because {answer}"
    if answer.digest != cut.digest:
        return "whose file has another content by now"
    if not len(answer.clips):
        return "behind the end of their file"
    return np.array(answer.clips[0])  # it lies in memory that goes back to the pool


def _write(cut: Cut, clip: np.ndarray, folder: Path, suffix: AudioFile) -> str | None:
    """The name in the folder; None where a file has it already."""
    suffix = "wav" if cut.sample_rate_hz > FLAC_RATES_HZ else suffix
    name = f"{cut.name}.{suffix}"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    except FileExistsError:
        return None
    with (
        open(handle, "wb") as raw,
        soundfile.SoundFile(
            raw, "w", cut.sample_rate_hz, 1, "PCM_16", format=suffix.upper()
        ) as file,
    ):
        file.title = f"{cut.label} {cut.confidence:.3f}"
        file.comment = f"{cut.path}, {cut.start_s:g} to {cut.end_s:g} s, by {cut.checkpoint}"
        if cut.clip_at is not None:
            file.date = cut.clip_at
        file.write(np.clip(clip, -1.0, 1.0))
    return name


def _row(cut: Cut, name: str) -> dict[str, object]:
    return {
        "path": name,
        "label": cut.label,
        "confidence": round(cut.confidence, 6),
        "group": cut.digest[:16],  # clips of one recording stay together in a split
        "recording": cut.path,
        "cut_from": round(cut.start_s, 6),
        "cut_to": round(cut.end_s, 6),
        "clip_at": cut.clip_at,
        "checkpoint": cut.checkpoint,
    }
