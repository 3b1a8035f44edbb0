"""What is asked of a training: options of the command, or arguments in Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.commands.train import train
from trainer.errors import OptionError
from trainer.training.request import DEFAULTS, train_request

LABELS = Path("labels.csv")


def test_every_option_of_the_command_may_be_asked_for_with_the_same_default(
    tmp_path: Path,
) -> None:
    options = train.make_context("train", [str(tmp_path)]).params
    of_command = {name: options.pop(name) for name in ("labels", "device", "as_json", "folder")}
    assert of_command["labels"] == tmp_path
    assert options == dict(DEFAULTS)


def test_what_is_not_asked_for_is_left_to_the_recipe() -> None:
    request = train_request(LABELS, recipe="reference", epochs=3, width=4)
    assert (request.recipe.epochs, request.recipe.widths) == (3, (4, 8, 16, 32))
    assert request.recipe.n_mels == 128
    assert set(request.given) == {"epochs", "widths"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"epoch": 3}, "no option epoch; there are allow_label_change, balance, batch_size"),
        ({"vary": "much"}, "vary 'much' is none of full, shift, none"),
        ({"recipe": "best"}, "recipe 'best' is none of default, reference"),
        ({"epochs": 0}, "epochs 0 is too small; 1 is the least"),
        ({"fold": 1, "val_fraction": 0.0}, "--val-fraction and --fold exclude each other"),
    ],
)
def test_what_is_not_to_be_had_is_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        train_request(LABELS, **options)
