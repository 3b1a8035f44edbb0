"""`clfd doctor` names what decodes, and what is missing for it."""

from __future__ import annotations

import pytest
from house import House

from classifier.errors import TemporaryFolderError
from daemon.setup import doctor


def test_both_decoders_are_named_with_their_versions(house: House) -> None:
    (found,) = [
        each for each in doctor.examine(house.home, house.settings) if each.subject == "decoding"
    ]
    assert "libsndfile 1." in found.text
    assert "PyAV 18." in found.text


def test_a_machine_without_a_temporary_folder_is_told_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise TemporaryFolderError("nowhere")

    monkeypatch.setattr(doctor, "temporary_folder", fail)
    found = [each for each in doctor.examine(house.home, house.settings) if each.level == "fault"]
    text = "nowhere; set TMPDIR to a folder that can be written"
    assert ("decoding", text) in {(each.subject, each.text) for each in found}
