"""`/queue`: the next clips to be labelled, by why they are worth it."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

router = APIRouter(tags=["labels"])

Kind = Literal["suggested", "unsure", "disputed", "rare", "wrong", "filter", "guess"]
WHOLE_CLIPS = 1.5  # of the network's length; a longer recording is labelled by its surest clip
