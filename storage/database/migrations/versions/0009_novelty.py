"""How unlike anything learned a recording is. Of older answers nobody knows it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("prediction", sa.Column("novelty", sa.REAL))
