"""`clfd bulk check`: the list against the rows. What is missing, and what is there twice?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from daemon.errors import DaemonError
from storage.bulk.parquet_parts import Ids, is_in, read_ids, read_rows
from storage.bulk.work_folder import WorkFolder
from storage.values.text import counted, printable_path, visible

MAX_NAMED = 3


class Irreconcilable(DaemonError):
    """Rows and list of a work folder do not fit."""


@dataclass
class Balance:
    """Counts; `kinds` are those of failures. `unknown` rows are of no file of the list."""

    files: int = 0
    rows: int = 0
    done: int = 0
    failed: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    doubled: int = 0
    unknown: int = 0
    other_checkpoint: int = 0
    complete: bool = False


def check_work(work: WorkFolder, file_format: str, echo: Callable[[str], None]) -> None:
    """Prints what there is. Raises Irreconcilable for the first thing that is wrong."""
    job = work.read_job()
    listed = np.sort(read_ids(work.manifest_parts()))
    answered = read_ids(work.output_parts())
    answered.sort()
    balance = _balance(work, job.checkpoint_digest)
    doubled = np.unique(answered[1:][answered[1:] == answered[:-1]])
    missing = listed[~is_in(answered, listed)]
    balance.files, balance.missing, balance.doubled = len(listed), len(missing), len(doubled)
    balance.unknown = int((~is_in(listed, answered)).sum())
    problem = next(_problems(work, balance, missing, doubled, job.n_files), None)
    balance.complete = problem is None
    echo(json.dumps(asdict(balance)) if file_format == "json" else _line(balance))
    if problem:
        raise Irreconcilable(f"{work.root}: {problem}")


def _problems(
    work: WorkFolder, balance: Balance, missing: Ids, doubled: Ids, n_files: int
) -> Iterator[str]:
    if balance.files != n_files:
        yield f"its list should have {n_files:,} files and has {balance.files:,}; list them again"
    if balance.missing:
        first = next(_paths(work.manifest_parts(), missing[:1]))
        have = "file has" if balance.missing == 1 else "files have"
        yield (
            f"{balance.missing:,} {have} no row, {first} among them; run `clfd bulk score"
            f" {work.root}` (again, with the shards that did not end well)"
        )
    if balance.doubled:
        parts = ", ".join(_parts_of(work, int(doubled[0])))
        yield (
            f"{counted(balance.doubled, 'file has', 'files have')} more than one row; take all but"
            f" one of these parts away, and check again: {parts}"
        )
    if balance.unknown:
        yield f"{balance.unknown:,} rows are of no file of the list; take foreign parts away"
    if balance.other_checkpoint:
        yield f"{balance.other_checkpoint:,} rows are of another checkpoint; take them away"


def _balance(work: WorkFolder, digest: str) -> Balance:
    found, kinds = Balance(), Counter[str]()
    columns = ["state", "error_class", "checkpoint_digest"]
    for batch in read_rows(work.output_parts(), columns):
        found.rows += len(batch)
        found.done += pc.sum(pc.equal(batch.column("state"), "done")).as_py() or 0
        is_other = pc.not_equal(batch.column("checkpoint_digest"), digest)
        found.other_checkpoint += pc.sum(is_other).as_py() or 0
        for kind in pc.value_counts(batch.column("error_class").drop_null()):
            kinds[kind["values"].as_py()] += kind["counts"].as_py()
    found.failed = found.rows - found.done
    found.kinds = dict(kinds.most_common())
    return found


def _paths(parts: list[Path], ids: Ids) -> Iterator[str]:
    for batch in read_rows(parts, ["id", "root", "path"]):
        for row in batch.filter(np.isin(batch.column("id").to_numpy(), ids)).to_pylist():
            yield visible(f"{row['root']}/{printable_path(row['path'])}")


def _parts_of(work: WorkFolder, number: int) -> list[str]:
    found = [part for part in work.output_parts() if number in read_ids([part])]
    return [str(part.relative_to(work.root)) for part in found]


def _line(found: Balance) -> str:
    kinds = ", ".join(f"{kind} {n:,}" for kind, n in found.kinds.items())
    failed = f"{found.failed:,} failed" + (f" ({kinds})" if kinds else "")
    rows = f"{found.rows:,} rows: {found.done:,} done, {failed}"
    return f"{counted(f'{found.files:,}', 'file')} listed, {rows}"
