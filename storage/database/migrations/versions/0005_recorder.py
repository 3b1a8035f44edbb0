"""What a file says of its recorder. Older rows have nothing until they are rescored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("recording", sa.Column("recorder", sa.Text))
