"""The settings that a prediction was made under. Of older ones nobody knows them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("prediction", sa.Column("scoring", sa.Text))
