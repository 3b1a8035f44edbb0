"""What a file says of its recorder. Older rows have nothing until they are rescored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("recording", sa.Column("recorder", sa.Text))
