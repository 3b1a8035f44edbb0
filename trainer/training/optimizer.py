"""Optimization of a model: optimizer, schedule, and the running average of its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel

from classifier.model.classifier import ClipClassifier
from trainer.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trainer.errors import TrainingDiverged
from trainer.training.recipe import Recipe
from trainer.training.resume import SavedState

Tensors = tuple[Tensor, ...] | list[Tensor]

WARM_UP = 0.2  # of the steps, in which a one-cycle schedule rises to its rate
SHORTEST_CYCLE = 6  # steps; of five, the rise has none, and torch divides by it

EARLY_STEPS = 10  # after n steps the average keeps at most (n + 1) / (n + 10) of itself


class Optimization:
    """One step at a time; `averaged` is the model to validate and publish."""

    def __init__(
        self,
        model: ClipClassifier,
        recipe: Recipe,
        steps_in_epoch: int,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self.model = model
        self._learning_rate = recipe.learning_rate
        n_samples = model.logmel.audio_format.clip_samples
        silence = torch.zeros(2, n_samples, device=model.band_mean.device)
        self.network = process_group.wrap(model.network, lambda: model.spectrograms(silence))
        self.optimizer = _optimizer(model.network, recipe)
        self._schedule = _schedule(self.optimizer, recipe, recipe.epochs * steps_in_epoch)
        self._average = _average(model, recipe.averaging) if recipe.averaging else None

    @property
    def averaged(self) -> ClipClassifier:
        """The running average of the weights, else the last ones."""
        if self._average is None:
            return self.model
        module = self._average.module
        assert isinstance(module, ClipClassifier)
        return module

    def step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._schedule.step()
        if self._average is not None:
            self._average.update_parameters(self.model)

    def require_finite(self, train_loss: float, epoch: int) -> None:
        tensors = self.averaged.network.state_dict().values()
        if math.isfinite(train_loss) and all(bool(tensor.isfinite().all()) for tensor in tensors):
            return
        raise TrainingDiverged(
            f"training diverged in epoch {epoch}: the loss or a weight is no number any more; "
            f"take an --lr smaller than {self._learning_rate:g}"
        )

    def saved(self, facts: Mapping[str, Any]) -> SavedState:
        """Everything the next step depends on, and facts of the caller."""
        optimizer = self.optimizer.state_dict()
        moments = {
            f"optimizer.{at}.{name}": value
            for at, state in optimizer["state"].items()
            for name, value in state.items()
        }
        schedule = {
            name: value
            for name, value in self._schedule.state_dict().items()
            if isinstance(value, bool | int | float | str | list)
        }
        tensors = {**self.model.network.state_dict(prefix="model."), **moments}
        if self._average is not None:
            tensors |= self.averaged.network.state_dict(prefix="average.")
            tensors["average_steps"] = self._average.n_averaged
        own = {"groups": optimizer["param_groups"], "schedule": schedule}
        return SavedState(tensors, {**facts, "learner": own})

    def restore(self, saved: SavedState) -> None:
        """Continues from a state that `saved` returned."""
        own = saved.facts["learner"]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in saved.tensors.items():
            if name.startswith("optimizer."):
                _, at, what = name.split(".")
                moments.setdefault(int(at), {})[what] = tensor
        self.optimizer.load_state_dict({"state": moments, "param_groups": own["groups"]})
        self._schedule.load_state_dict(own["schedule"])
        self.model.network.load_state_dict(_under("model", saved.tensors))
        if self._average is not None:
            self.averaged.network.load_state_dict(_under("average", saved.tensors))
            self._average.n_averaged.copy_(saved.tensors["average_steps"])


def _optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    if recipe.optimizer == "adamw":
        return AdamW(
            network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
    return Adam(network.parameters(), lr=recipe.learning_rate)


def _schedule(optimizer: Optimizer, recipe: Recipe, n_steps: int) -> LRScheduler:
    """Smith, "Super-convergence" (2018), or the same rate throughout."""
    if recipe.schedule == "one-cycle":
        # One more, since the schedule steps after the last step as well.
        length = max(n_steps + 1, SHORTEST_CYCLE)
        return OneCycleLR(optimizer, recipe.learning_rate, length, pct_start=WARM_UP)
    return ConstantLR(optimizer, factor=1.0, total_iters=0)


def _average(model: ClipClassifier, decay: float) -> AveragedModel:
    """Exponential; statistics of batch normalisation are averaged like weights."""

    @torch.no_grad()
    def update(averages: Tensors, latest: Tensors, n_steps: Tensor | int) -> None:
        # At first a shorter memory: the random beginning would otherwise outlast a short training.
        share = 1 - min(decay, (1 + int(n_steps)) / (EARLY_STEPS + int(n_steps)))
        for average, now in zip(averages, latest, strict=True):
            if average.is_floating_point():
                average.lerp_(now, share)
            else:
                average.copy_(now)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}.")
    }
