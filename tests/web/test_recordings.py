from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from page_client import page_of
from page_recordings import made_home, record


def test_a_recording_comes_with_its_clips_and_its_history(
    tmp_path: Path, noise: Callable[..., np.ndarray]
) -> None:
    home = made_home(tmp_path / "home")
    digest = record(home, "a.wav", noise())

    with page_of(home) as page:
        one = page.get("/api/v1/recordings/1").json()
        missing = page.get("/api/v1/recordings/2")

    assert (one["path"], one["digest"], one["label"]) == ("a.wav", digest, "dog")
    assert set(one["scores"]) == {"bell", "dog", "rain"}
    assert one["clips"]["label"] == ["bell", "dog"]
    assert one["clips"]["start_s"] == [0.0, 0.5]
    assert [each["checkpoint"] for each in one["history"]] == ["c"]
    assert missing.status_code == 404
