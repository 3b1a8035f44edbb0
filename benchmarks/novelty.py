"""Novelty: eight labels of ESC-10 are learned, two are strangers; how well are they told apart?

ESC10_DIR=... python -m benchmarks.novelty FOLDER --epochs 40

Five pairs of strangers, each with one fold left out. The ROC area is of novelty, the recordings of
the fold that bear a learned label against the strangers: those of the fold (`fold`), and all of
them (`all`), of which none was learned either. Rivals are measured on the same features. A network
whose features lie in FOLDER is not trained again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score
from torch.nn.functional import normalize, one_hot

from classifier.workers.malloc import keep_freed_memory
from classifier.workers.pool import DecodePool
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.labels import read_labels
from trainer.data.splits import Split
from trainer.training.feature_centres import centres_of, clip_features
from trainer.training.loop import train_network
from trainer.training.recipe import DEFAULT

STRANGERS = {
    1: ("rain", "sea_waves"),
    2: ("dog_bark", "rooster"),
    3: ("chainsaw", "helicopter"),
    4: ("baby_cry", "person_sneeze"),
    5: ("clock_tick", "fire_crackling"),
}
RECIPE = replace(DEFAULT, clip_seconds=5.0, sample_rate_hz=22_050, fits_the_files=False)
NEIGHBOURS = (1, 2, 5)

Values = npt.NDArray[np.float32]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--epochs", default=DEFAULT.epochs, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(folder: Path, epochs: int, seed: int) -> None:
    """Trains what is not in FOLDER, and measures."""
    keep_freed_memory()
    folder.mkdir(parents=True, exist_ok=True)
    labels = read_labels(Path(os.environ["ESC10_DIR"], "labels.csv"), ())
    with DecodePool[int](1, 60.0) as pool:
        dataset = load_dataset(labels.examples, RECIPE.audio_format, pool, torch.device("cpu"))
    areas: dict[str, list[tuple[float, float]]] = {}
    for fold, pair in STRANGERS.items():
        file = folder / f"pair-{fold}-{epochs}.npz"
        if not file.exists():
            np.savez(file, **learn(dataset, fold, pair, epochs, seed))  # type: ignore[arg-type]
        for name, both in measure(np.load(file), fold).items():
            areas.setdefault(name, []).append(both)
        click.echo(f"fold {fold}, strangers {' and '.join(pair)}", err=True)
    means = {name: np.mean(each, axis=0).round(3).tolist() for name, each in areas.items()}
    each = {name: np.round(pairs, 3).tolist() for name, pairs in areas.items()}
    click.echo(json.dumps({"mean of five (fold, all)": means, "each": each}, indent=1))


def learn(
    dataset: Dataset, fold: int, pair: tuple[str, str], epochs: int, seed: int
) -> Mapping[str, npt.NDArray[np.generic]]:
    """Features and logits of all clips, by a network that knows neither the fold nor the pair."""
    known = [at for at, each in enumerate(dataset.examples) if each.label not in pair]
    learned = dataset.subset(known)
    training = tuple(at for at, each in enumerate(learned.examples) if each.fold != fold)
    recipe = replace(RECIPE, epochs=epochs)
    model = train_network(learned, Split(training, (), ""), recipe, seed).model
    features = clip_features(model, dataset, torch.arange(len(dataset.recording)))
    with torch.inference_mode():
        logits = model.network.head[-1](features)
    of_clips = dataset.recording.tolist()
    return {
        "features": features.numpy(),
        "logits": logits.numpy(),
        "label": np.array([dataset.examples[at].label for at in of_clips]),
        "fold": np.array([dataset.examples[at].fold for at in of_clips]),
        "pair": np.array(pair),
    }


def measure(
    stored: Mapping[str, npt.NDArray[np.generic]], fold: int
) -> dict[str, tuple[float, float]]:
    """ROC areas of each way to measure, against the fold's strangers and against all."""
    is_strange = np.isin(stored["label"], stored["pair"])
    is_out = stored["fold"] == fold
    training, known = ~is_strange & ~is_out, ~is_strange & is_out
    features = torch.from_numpy(stored["features"])
    ways = distances(features, stored["label"], training) | {
        "energy": -logsumexp(stored["logits"], axis=1)
    }

    def area(values: Values, strangers: npt.NDArray[np.bool_]) -> float:
        chosen = known | strangers
        return float(roc_auc_score(is_strange[chosen], values[chosen]))

    return {
        name: (area(values, is_strange & is_out), area(values, is_strange))
        for name, values in ways.items()
    }


def distances(
    features: torch.Tensor, label: npt.NDArray[np.generic], training: npt.NDArray[np.bool_]
) -> dict[str, Values]:
    """Larger is stranger."""
    units, learned = normalize(features), torch.from_numpy(training)
    _, numbers = np.unique(label[training], return_inverse=True)
    targets = one_hot(torch.from_numpy(numbers)).float()
    centres = centres_of(units[learned], targets)
    found = {"centres, as clfd does": centres.distances(features).numpy()}
    nearest = torch.cdist(units, units[learned]).sort(dim=1).values
    for k in NEIGHBOURS:
        found[f"neighbour {k}"] = nearest[:, k - 1].numpy()
    return found


if __name__ == "__main__":
    main()
