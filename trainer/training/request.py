"""What a person asked for, as options of `clfd train` or as arguments of `clfd.train`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from classifier.model.resnet9 import widths_from
from trainer.data.splits import SplitChoice
from trainer.errors import OptionError
from trainer.training.batches import BALANCES
from trainer.training.prepare import TrainRequest
from trainer.training.recipe import RECIPES, VARIATIONS, recipe_with

# Each field of the recipe, and what is left as it is in the recipe where it is None.
_RECIPE_FIELDS = (
    *("epochs", "learning_rate", "batch_size", "optimizer", "balance"),
    *("clip_seconds", "sample_rate_hz", "n_mels"),
)
_SPLITS = {"val_fraction": None, "fold": None, "cross_validate": False}
DEFAULTS: Mapping[str, Any] = {
    **dict.fromkeys((*_RECIPE_FIELDS, "width", "vary")),
    **_SPLITS,
    "recipe": "default",
    "promote": "auto",
    "seed": 0,
    "skip_bad": False,
    "start": "scratch",
    "resume": False,
    "allow_label_change": False,
    "task": "auto",
    "precision": None,
}
_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "recipe": tuple(RECIPES),
    "vary": (None, *VARIATIONS),
    "optimizer": (None, "adam", "adamw"),
    "balance": (None, *BALANCES),
    "task": ("auto", "single", "multi"),
    "promote": ("auto", "always", "never"),
}
_LEAST = {"epochs": 1, "batch_size": 2, "sample_rate_hz": 1000, "n_mels": 8, "width": 1}


def train_request(labels: Path, **options: Any) -> TrainRequest:
    """`options` are some of DEFAULTS.

    Raises OptionError for one that there is not, for a value that it may not have, and where two
    exclude each other.
    """
    if unknown := sorted(options.keys() - DEFAULTS.keys()):
        raise OptionError(f"no option {unknown[0]}; there are {', '.join(sorted(DEFAULTS))}")
    asked = {**DEFAULTS, **options}
    _validate(asked)
    width = asked["width"]
    wishes = {"augmentation": VARIATIONS.get(asked["vary"]), "widths": width and widths_from(width)}
    wishes |= {name: asked[name] for name in _RECIPE_FIELDS}
    given = {field: wish for field, wish in wishes.items() if wish is not None}
    as_asked = (
        *("cross_validate", "promote", "skip_bad", "start", "resume", "allow_label_change"),
        *("task", "precision"),
    )
    return TrainRequest(
        labels,
        recipe_with(asked["recipe"], **given),
        SplitChoice(asked["seed"], asked["val_fraction"], asked["fold"]),
        given=tuple(given),
        **{name: asked[name] for name in as_asked},
    )


def _validate(asked: Mapping[str, Any]) -> None:
    for name, choices in _CHOICES.items():
        if asked[name] not in choices:
            words = ", ".join(word for word in choices if word is not None)
            raise OptionError(f"{name} {asked[name]!r} is none of {words}")
    for name, least in _LEAST.items():
        if asked[name] is not None and asked[name] < least:
            raise OptionError(f"{name} {asked[name]} is too small; {least} is the least")
    precision = asked["precision"]
    if precision is not None and not 0 < precision < 1:
        raise OptionError(f"precision {precision} is not between 0 and 1")
    ways = [name for name, default in _SPLITS.items() if asked[name] not in (default, None)]
    if len(ways) > 1:
        both = " and ".join("--" + way.replace("_", "-") for way in ways)
        raise OptionError(f"{both} exclude each other; choose one of them")
