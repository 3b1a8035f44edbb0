"""`/trainings`: those that run and ran; one is started from the labels that people gave."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from storage.errors import StorageError
from storage.trainings.training_folder import TrainingFolder, all_trainings, find_training
from storage.trainings.training_progress import TrainingProgress
from web.server.context import Context, PageContext
from web.server.problems import Problem
from web.server.training_starts import start_training, stop_training, write_labels

router = APIRouter(tags=["trainings"])

Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Id = Annotated[str, Path(description="As in the list.")]


class Training(TrainingProgress):
    id: str


class Trainings(BaseModel):
    labels_file: str | None = Field(
        description="Where the page writes labels that a service learns from; null: it trains."
    )
    items: list[Training] = Field(description="Newest first, without their curves.")


class TrainingOptions(BaseModel):
    """Those of `clfd train`."""

    epochs: Annotated[int | None, Field(ge=1, le=100_000)] = None
    start: Literal["scratch", "active"] = Field(default="scratch", description="`--from`.")
    task: Literal["auto", "single", "multi"] = "auto"
    precision: Share | None = None
    promote: Literal["auto", "always", "never"] = "auto"
    skip_bad: bool = False

    def words(self) -> list[str]:
        given = self.model_dump(exclude_defaults=True, exclude={"skip_bad"})
        options = {"start": "from"}
        arguments = [f"--{options.get(name, name)}={value}" for name, value in given.items()]
        return [*arguments, *["--skip-bad"] * self.skip_bad]


class Started(BaseModel):
    id: str | None = Field(description="Of the training; null where a service does it.")
    lines: list[str] = Field(description="What is told of it.")


@router.get("/trainings")
def trainings(context: Context) -> Trainings:
    """Also those that were started in a terminal, or by a service."""
    found = [_shown(one) for one in all_trainings(context.home)]
    return Trainings(
        labels_file=str(context.labels_file) if context.labels_file else None,
        items=[one.model_copy(update={"curve": []}) for one in found],
    )


@router.post("/trainings", status_code=202)
def start(options: TrainingOptions, context: Context) -> Started:
    """Learns from all labels that people gave, in a process that outlives the page.

    One at a time. Under systemd the page only writes the labels, and `clfd-train.path` starts the
    training, with the options of that service.
    """
    if context.labels_file is None:
        training, notes = start_training(context.home, options.words())
        return Started(id=training.id, lines=notes)
    notes = write_labels(context.home, context.labels_file)
    waits = "clfd-train.path starts a training when they have changed, where it is enabled"
    return Started(id=None, lines=[*notes, waits])


@router.get("/trainings/{id}")
def training(id: Id, context: Context) -> Training:
    """With its curve."""
    return _shown(_found(context, id))


@router.get("/trainings/{id}/log", response_class=PlainTextResponse)
def log(
    id: Id, context: Context, n_bytes: Annotated[int, Query(ge=1, le=2**18)] = 2**15
) -> PlainTextResponse:
    """The end of what it printed; empty for one that the page did not start."""
    return PlainTextResponse(_found(context, id).log_tail(n_bytes))


@router.delete("/trainings/{id}", status_code=202)
def stop(id: Id, context: Context) -> Started:
    """Stops it as Ctrl-C does; asked for again, at once."""
    asked = context.shared(_Stops).asked
    stop_training(_found(context, id), hurries=id in asked)
    asked.add(id)
    return Started(id=id, lines=["it is asked to stop"])


class _Stops:
    def __init__(self, _: PageContext) -> None:
        self.asked: set[str] = set()


def _shown(training: TrainingFolder) -> Training:
    return Training(id=training.id, **training.progress().model_dump())


def _found(context: PageContext, id: str) -> TrainingFolder:
    try:
        return find_training(context.home, id)
    except (StorageError, ValueError, OSError) as error:
        raise Problem(404, f"there is no training {id[:80]!r}") from error
