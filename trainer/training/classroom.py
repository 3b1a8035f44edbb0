"""One training run, as all its steps see it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from storage.home.paths import Home
from storage.settings.schema import Settings
from trainer.console import Narrator
from trainer.training.distributed import ALONE, Team
from trainer.training.prepare import Request


@dataclass(frozen=True)
class Classroom:
    """What every step of one call needs: the wish, the place, and who else is there."""

    request: Request
    home: Home
    settings: Settings
    device: torch.device
    narrator: Narrator
    team: Team = ALONE
