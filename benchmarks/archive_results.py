"""`clfd results --from` of a work folder of millions of rows: whole commands, the best of five.

python -m benchmarks.archive_results --rows 10000000 --folder /var/tmp/rows
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.bulk.parquet_parts import FINDINGS, MANIFEST, OUTPUT
from storage.bulk.work_folder import Job, WorkFolder

PART_ROWS = 100_000
LABELS = ("dog", "rain", "sea", "baby", "clock", "sneeze", "helicopter", "saw", "rooster", "fire")
QUESTIONS = {
    "how many": ["--count-by", "status"],
    "of each label": ["--count-by", "label"],
    "the newest 50": [],
    "the newest 50 of a label": ["--label", "dog"],
    "a folder": ["--path", "site01/*"],
    "a glob": ["--path", "*/rec_*7.wav"],
    "a glob with brackets": ["--path", "*[78].wav"],
    "three clips": ["--clips", "--limit", "3"],
}


@click.command()
@click.option("--rows", default=10_000_000, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Kept if it exists.")
def main(rows: int, folder: Path) -> None:
    """Measures this checkout on this machine."""
    if not folder.exists():
        make_work_folder(WorkFolder(folder), rows)
    n_bytes = sum(part.stat().st_size for part in WorkFolder(folder).output_parts())
    click.echo(f"{rows:,} rows, {n_bytes / 1e6:,.0f} MB")
    for what, words in QUESTIONS.items():
        click.echo(f"{what:26} {min(seconds_of(folder, words) for _ in range(5)):.2f} s")


def seconds_of(folder: Path, words: Sequence[str]) -> float:
    began = time.perf_counter()
    command = [str(Path(sys.executable).with_name("clfd")), "--home", str(folder / "no home")]
    subprocess.run(
        [*command, "results", "--from", str(folder), *words], check=True, capture_output=True
    )
    return time.perf_counter() - began


def make_work_folder(work: WorkFolder, n_rows: int) -> None:
    """Answers of one label, one in a hundred failed, from numbers."""
    out = work.output / "shard-00001-of-00001"
    for folder in (work.manifest, out):
        folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    for number, first in enumerate(range(0, n_rows, PART_ROWS)):
        columns = answers(np.arange(first, min(first + PART_ROWS, n_rows)), random)
        for file, schema in (
            (out / f"part-{number:05}.parquet", OUTPUT),
            (work.manifest_part(number), MANIFEST),
        ):
            table = pa.table({name: columns[name] for name in schema.names}, schema)
            pq.write_table(table, file, compression="zstd")
    about = "benchmark", "c" * 64, LABELS, 5.0, {"task": "single"}, {}
    work.write_job(Job(("/archive",), n_rows, *about, False, "2026-12-01T00:00:00.000Z", None))


def answers(numbers: NDArray[np.int64], random: np.random.Generator) -> dict[str, pa.Array]:
    """By the names of the columns; what is not named is null."""
    n, failed = len(numbers), random.random(len(numbers)) < 0.01
    paths = [f"site{i % 50:02}/day{i // 50 % 365:03}/rec_{i:08}.wav" for i in numbers.tolist()]
    labels, confidence = np.array(LABELS)[random.integers(0, len(LABELS), n)], random.random(n)
    ends = np.concatenate([[0], np.cumsum(~failed)]).astype(np.int32)
    clip = pa.array(np.zeros(n, np.int32))
    finding = pa.StructArray.from_arrays(
        [pa.array(labels), pa.array(confidence), clip, clip], fields=[*FINDINGS.value_type]
    )
    scores = pa.array(random.random(n * len(LABELS), np.float32))
    places = pa.array(np.arange(n + 1, dtype=np.int32) * len(LABELS))
    clips = random.random((n, len(LABELS))).astype("<f2")
    seconds = (1_764_547_200_000 + numbers * 3).astype("datetime64[ms]")

    def done(values: NDArray[Any]) -> pa.Array:
        return pa.array(values, mask=failed)

    known = {
        "id": pa.array(random.integers(0, 2**63, n)),
        "root": pa.array(["/archive"] * n),
        "path": pa.array([path.encode() for path in paths]),
        "path_text": pa.array(paths),
        "size_bytes": pa.array(np.full(n, 441_044)),
        "fingerprint": pa.array([f"441044:{i}" for i in numbers.tolist()]),
        "digest": pa.array([f"{i * 7919:064x}" for i in numbers.tolist()]),
        "state": pa.array(np.where(failed, "failed", "done")),
        "label": done(labels),
        "confidence": done(confidence),
        "labels": pa.ListArray.from_arrays(
            pa.array(ends, mask=np.append(failed, False)), finding.filter(pa.array(~failed))
        ).cast(FINDINGS),
        "scores": pa.ListArray.from_arrays(places, scores),
        "clip_scores": pa.array([row.tobytes() for row in clips]),
        **{name: done(np.full(n, 5.0)) for name in ("clip_seconds", "clip_hop_seconds")},
        "duration_s": done(np.full(n, 5.0)),
        "rms_dbfs": done(-60 * random.random(n)),
        "error_class": pa.array(np.full(n, "damaged"), mask=~failed),
        "error": pa.array(np.full(n, "it cannot be decoded"), mask=~failed),
        "checkpoint_digest": pa.array(["c" * 64] * n),
        "answered_at": pa.array([f"{moment}Z" for moment in np.datetime_as_string(seconds)]),
    }
    return {
        field.name: known[field.name].cast(field.type)
        if field.name in known
        else pa.nulls(n, field.type)
        for field in OUTPUT
    }


if __name__ == "__main__":
    main()
