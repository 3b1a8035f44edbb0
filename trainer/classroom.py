"""One training run, as all its steps see it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from storage.home import Home
from storage.settings import Settings
from trainer.preparing import Request
from trainer.progress import Narrator
from trainer.team import ALONE, Team


@dataclass(frozen=True)
class Classroom:
    """What every step of one call needs: the wish, the place, and who else is there."""

    request: Request
    home: Home
    settings: Settings
    device: torch.device
    narrator: Narrator
    team: Team = ALONE
