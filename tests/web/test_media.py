from __future__ import annotations

import asyncio
import io
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
import soundfile
from encoded_sound import KINDS, encoded
from page_client import page_of
from page_recordings import answer, made_home, record
from starlette.requests import Request
from starlette.testclient import TestClient

from storage.home.paths import Home
from web.media.decoder import MAX_WAITING, Decoder
from web.server.context import PageContext
from web.server.problems import Problem

Samples = np.ndarray
TOLERANCE = 2.0**-15


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return made_home(tmp_path_factory.mktemp("media") / "home")


@pytest.fixture(scope="module")
def page(home: Home) -> Iterator[TestClient]:
    with page_of(home) as client:
        yield client


@pytest.fixture(scope="module")
def known(home: Home, noise: Callable[..., Samples]) -> str:
    return record(home, "known.wav", noise(seconds=2))


def ask(page: TestClient, digest: str, what: str = "pcm", **query: object) -> httpx2.Response:
    return page.get(f"/api/v1/media/{digest}/{what}", params=query)


def samples_of(response: httpx2.Response) -> Samples:
    assert response.status_code == 200, response.text
    samples = np.frombuffer(response.content, "<i2") * float(response.headers["X-Peak"]) / 32_767
    assert len(samples) == int(response.headers["X-Samples"])
    return samples


@pytest.mark.parametrize("name", ["a.wav", "b.flac", "c.ogg", "d.mp3"])
def test_a_window_has_the_samples_of_the_file(
    home: Home, page: TestClient, noise: Callable[..., Samples], name: str
) -> None:
    digest = record(home, name, noise(seconds=3, seed=1))

    window = ask(page, digest, start=1.25, end=2.5)

    whole, rate_hz = soundfile.read(home.inbox / name)
    assert (window.headers["X-Rate-Hz"], window.headers["X-Start-S"]) == ("8000", "1.25")
    # A lossy decoder that is sought in has another past than one that comes from the beginning.
    tolerance = 0.02 if name.endswith("mp3") else TOLERANCE
    expected = whole[round(1.25 * rate_hz) : round(2.5 * rate_hz)]
    np.testing.assert_allclose(samples_of(window), expected, atol=tolerance)


def test_what_only_ffmpeg_reads_is_heard_as_well(
    home: Home, page: TestClient, tone: Callable[..., Samples]
) -> None:
    sound = tone(hz=1000, seconds=2, rate_hz=44_100)
    (home.inbox / "e.m4a").write_bytes(encoded(KINDS[0], sound))
    digest = answer(home, "e.m4a", 2.0, 44_100)

    samples = samples_of(ask(page, digest, start=0.5, end=1.5))

    spectrum = np.abs(np.fft.rfft(samples))
    assert len(samples) == 44_100
    assert np.argmax(spectrum) == 1000


def test_a_bat_recorder_s_rate_is_kept(
    home: Home, page: TestClient, tone: Callable[..., Samples]
) -> None:
    digest = record(home, "bat.wav", tone(hz=45_000, seconds=0.5, rate_hz=384_000), 384_000)

    window = ask(page, digest, start=0, end=0.5)

    assert window.headers["X-Rate-Hz"] == "384000"
    assert np.argmax(np.abs(np.fft.rfft(samples_of(window)))) == 22_500


def test_quiet_sound_keeps_its_detail(
    home: Home, page: TestClient, tone: Callable[..., Samples]
) -> None:
    quiet = 1e-4 * tone(seconds=1)
    soundfile.write(home.inbox / "quiet.wav", quiet, 8000, "FLOAT")

    samples = samples_of(ask(page, answer(home, "quiet.wav"), start=0, end=1))

    np.testing.assert_allclose(samples, quiet, atol=1e-8)


def test_the_end_of_an_hour_comes_quickly(home: Home, page: TestClient) -> None:
    with soundfile.SoundFile(home.inbox / "hour.flac", "w", 8000, 1) as file:
        for minute in range(60):
            file.write(np.full(60 * 8000, minute / 100))
    digest = answer(home, "hour.flac", 3600.0)
    ask(page, digest, start=0, end=1)  # the worker starts

    began = time.monotonic()
    samples = samples_of(ask(page, digest, start=3000, end=3005))

    assert time.monotonic() - began < 2
    np.testing.assert_allclose(samples, 0.5, atol=TOLERANCE)


def test_a_window_ends_with_the_recording(
    home: Home, page: TestClient, noise: Callable[..., Samples]
) -> None:
    digest = record(home, "short.wav", noise(seconds=1, seed=2))

    assert ask(page, digest, start=0.5, end=10).headers["X-Samples"] == "4000"
    assert "ends after 1.0 s" in ask(page, digest, start=2, end=3).json()["detail"]


@pytest.mark.parametrize(
    ("start", "end"),
    [("2", "1"), ("1", "1"), ("nan", "2"), ("0", "inf"), ("0", "1e9"), ("-1", "1"), ("0", "60.5")],
)
def test_a_part_that_makes_no_sense_is_refused(
    page: TestClient, known: str, start: str, end: str
) -> None:
    assert ask(page, known, start=start, end=end).status_code == 422


def test_unknown_sound_is_not_found(page: TestClient, known: str) -> None:
    for digest in ("0" * 64, known.upper(), "%2e%2e", "%00", "x" * 9000):
        assert ask(page, digest, start=0, end=1).status_code == 404


def test_a_file_that_is_gone_is_not_found_and_another_content_is_a_conflict(
    home: Home, page: TestClient, noise: Callable[..., Samples]
) -> None:
    digest = record(home, "moving.wav", noise(seconds=1, seed=3))
    soundfile.write(home.inbox / "moving.wav", noise(seconds=1, seed=4), 8000)
    assert ask(page, digest, start=0, end=1).status_code == 409
    assert ask(page, digest, "original").status_code == 409

    (home.inbox / "moving.wav").unlink()
    assert ask(page, digest, start=0, end=1).status_code == 404
    assert ask(page, digest, "original").status_code == 404


def test_a_touched_file_is_still_heard_and_so_is_a_copy_of_one_that_went(
    home: Home, page: TestClient, noise: Callable[..., Samples]
) -> None:
    digest = record(home, "first.wav", noise(seconds=1, seed=5))
    shutil.copy(home.inbox / "first.wav", home.inbox / "second.wav")
    answer(home, "second.wav")

    os.utime(home.inbox / "first.wav", (1, 1))
    assert ask(page, digest, start=0, end=1).status_code == 200
    (home.inbox / "first.wav").unlink()
    assert ask(page, digest, start=0, end=1).status_code == 200


def test_nothing_is_read_through_a_link(
    home: Home, page: TestClient, noise: Callable[..., Samples], tmp_path: Path
) -> None:
    (home.inbox / "yard").mkdir()
    digest = record(home, "yard/linked.wav", noise(seconds=1, seed=6))
    (home.inbox / "yard").rename(tmp_path / "elsewhere")
    (home.inbox / "yard").symlink_to(tmp_path / "elsewhere")

    assert ask(page, digest, start=0, end=1).status_code == 404
    assert ask(page, digest, "original").status_code == 404


def test_a_file_that_cannot_be_decoded_is_told_why(home: Home, page: TestClient) -> None:
    (home.inbox / "torn.flac").write_bytes(b"fLaC" + bytes(1000))

    answered = ask(page, answer(home, "torn.flac"), start=0, end=1)

    assert answered.status_code == 422
    assert "copy it again" in answered.json()["detail"]


def test_sound_is_slowed_down_and_comes_in_parts(
    home: Home, page: TestClient, tone: Callable[..., Samples]
) -> None:
    digest = record(home, "slow.wav", tone(seconds=1, rate_hz=96_000), 96_000)
    whole = ask(page, digest, "sound.wav", start=0, end=1, slow=10)

    samples, rate_hz = soundfile.read(io.BytesIO(whole.content))
    np.testing.assert_allclose(samples, tone(seconds=1, rate_hz=96_000), atol=2 * TOLERANCE)
    assert rate_hz == 9600
    address = f"/api/v1/media/{digest}/sound.wav?start=0&end=1&slow=10"
    part = page.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.content)}"
    assert page.get(address, headers={"Range": "bytes=-5"}).content == whole.content[-5:]
    assert page.get(address, headers={"Range": "bytes=999999999-"}).status_code == 416


def test_the_file_itself_can_be_had(
    home: Home, page: TestClient, noise: Callable[..., Samples]
) -> None:
    digest = record(home, "häher 1.wav", noise(seconds=1, seed=7))
    content = (home.inbox / "häher 1.wav").read_bytes()

    whole = ask(page, digest, "original")
    part = page.get(f"/api/v1/media/{digest}/original", headers={"Range": "bytes=4-7"})

    assert (whole.content, part.content) == (content, content[4:8])
    assert "h%C3%A4her%201.wav" in whole.headers["Content-Disposition"]
    assert whole.headers["Content-Type"] == "application/octet-stream"


def test_a_picture_is_brightest_where_the_tone_is(
    home: Home, page: TestClient, tone: Callable[..., Samples]
) -> None:
    image = pytest.importorskip("PIL.Image")
    digest = record(home, "tone.wav", tone(hz=1000, seconds=4))

    answered = ask(page, digest, "picture", start=0, end=4, w=64, h=40)

    assert "immutable" in answered.headers["Cache-Control"], answered.text
    picture = np.asarray(image.open(io.BytesIO(answered.content)).convert("L"), float)
    assert picture.shape == (40, 64)
    assert abs(int(picture.sum(axis=1).argmax()) - 30) <= 1  # a quarter from the bottom


def test_an_overview_of_an_hour_looks_at_places_of_it(
    home: Home, page: TestClient, tmp_path: Path
) -> None:
    with soundfile.SoundFile(home.inbox / "long.flac", "w", 8000, 1) as file:
        for minute in range(60):
            file.write(np.random.RandomState(0).randn(60 * 8000) * (0.1 if minute < 30 else 0))
    image = pytest.importorskip("PIL.Image")

    answered = ask(page, answer(home, "long.flac", 3600.0), "picture", end=3600, w=100, h=16)

    picture = np.asarray(image.open(io.BytesIO(answered.content)).convert("L"), float)
    assert picture[:, :48].min() > picture[:, 52:].max()


def test_more_than_may_wait_are_sent_away_and_who_left_makes_room(home: Home) -> None:
    decoder, holds = Decoder(PageContext(home)), threading.Event()
    decoder._serve = holds.wait  # type: ignore[method-assign]
    waiting = [decoder.submit(len, "") for _ in range(MAX_WAITING)]
    with pytest.raises(Problem) as refused:
        decoder.submit(len, "")
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})

    waiting[3].cancel()
    decoder.submit(len, "")
    holds.set()


def test_what_a_client_asked_for_is_dropped_when_it_leaves(home: Home) -> None:
    decoder, holds = Decoder(PageContext(home)), threading.Event()
    decoder._serve = holds.wait  # type: ignore[method-assign]

    async def leaves() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with pytest.raises(Problem):
        asyncio.run(decoder.result(Request({"type": "http"}, leaves), len, ""))
    assert decoder._waiting[0].future.cancelled()
    holds.set()


def test_a_worker_that_dies_costs_its_own_window_only(home: Home) -> None:
    decoder = Decoder(PageContext(home))
    try:
        with pytest.raises(Problem) as died:
            decoder.submit(os._exit, 3).result(timeout=60)
        assert died.value.status == 422
        assert decoder.submit(len, "four").result(timeout=60) == 4
    finally:
        decoder.close()


def test_a_worker_ends_after_a_rest(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.media.decoder.REST_SECONDS", 0.01)
    others, decoder = threading.enumerate(), Decoder(PageContext(home))
    assert decoder.submit(len, "four").result(timeout=60) == 4
    for thread in {*threading.enumerate()} - {*others}:
        thread.join(timeout=60)
    assert decoder.submit(len, "fives").result(timeout=60) == 5
