from __future__ import annotations

from pathlib import Path

import pytest
from bulk_work import BulkWork


@pytest.fixture
def bulk(tmp_path: Path, checkpoint_file: Path) -> BulkWork:
    """An archive that is empty still, and a home with a checkpoint."""
    return BulkWork(tmp_path, checkpoint_file)
