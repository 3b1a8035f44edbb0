"""`clfd report`: a period on one page, with its figures for programs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from house import House
from ledger_rows import NOON, WEEK, week_of_answers

from classifier.audio.decode import DecodedAudio, decode
from classifier.errors import DecodingError
from storage.commands.context import Invocation
from storage.ledger.ledger import Ledger
from storage.queries.figures.activity import Activity, LabelActivity
from storage.queries.figures.period import Period, period_figures, read_profile
from storage.queries.figures.statistics import Sample
from storage.values.timestamps import stamp
from trainer.commands.report import report
from trainer.errors import TrainerError
from trainer.promotion.training_facts import answer_profile
from trainer.reports.audio_excerpts import Excerpt, encode_excerpt, excerpts
from trainer.reports.period_html import calendar_of, render_period, short

pytestmark = pytest.mark.usefixtures("greenwich")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with week_of_answers(tmp_path) as ledger:
        yield ledger


@pytest.fixture
def period(ledger: Ledger) -> Period:
    with ledger.database.transaction() as connection:
        return period_figures(connection, WEEK, ["/inbox"], "20260101T000000Z-cccccccc")


def page_of(period: Period, excerpt: Excerpt | None = None, with_audio: bool = True) -> str:
    excerpt = excerpt or Excerpt("the file is gone")
    shown = period.activity
    excerpts = dict.fromkeys((*shown.surest, *shown.least_sure), excerpt)
    return render_period(period, excerpts, NOON, with_audio)


def test_a_profile_is_read_as_it_was_written() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.5, 0.5]], np.float32)
    facts = {"training": {"profile": answer_profile(scores, ("dog", "siren"))}}
    profile = read_profile(facts)
    assert profile is not None
    assert (profile.recordings, profile.labels["dog"].share) == (4, 0.75)
    assert profile.labels["siren"].mean_confidence == pytest.approx(0.7)


# --- the page


class Words(HTMLParser):
    """The tags and the words of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.words = ""
        self.sources: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("problem", [None, "the file is gone"])
def test_names_are_shown_and_never_obeyed(period: Period, problem: str | None) -> None:
    audio = np.zeros(800, np.float32), np.zeros((4, 4), np.float32)
    page = Words(page_of(period, Excerpt(problem, 8000, *(audio if not problem else ()))))
    assert page.tags["script"] == 0
    assert "<script>alert(1)</script> & \\x1b[31m.wav" in page.words


def test_a_page_asks_no_network_for_anything(period: Period) -> None:
    samples = np.zeros(8000, np.float32)
    page = page_of(period, Excerpt(None, 8000, samples, np.zeros((4, 4), np.float32)))
    assert {source.partition(":")[0] for source in Words(page).sources} == {"data"}
    assert "http" not in re.sub(r'"data:[^"]*"|http-equiv', "", page)


def test_a_page_says_where_short_sounds_of_long_recordings_are(period: Period) -> None:
    words = Words(page_of(period, Excerpt("gone", 8000))).words
    assert "clfd results --clips" in words and "clfd report --clips" not in words
    assert "clfd report --clips" in Words(page_of(replace(period, has_long_recordings=True))).words


def test_where_no_run_is_sure_enough_the_page_says_so(period: Period) -> None:
    silent = replace(period, by_clips=True, activity=Activity((), (), (), ()))
    assert "Nothing was heard in this period." in Words(page_of(silent)).words


def test_a_page_can_do_without_players(period: Period) -> None:
    excerpt = Excerpt(None, 8000, np.zeros(800, np.float32), np.zeros((4, 4), np.float32))
    assert Words(page_of(period, excerpt)).tags["audio"] == 4
    assert Words(page_of(period, excerpt, with_audio=False)).tags["audio"] == 0


def test_a_page_tells_sites_corrections_and_files_left_out(period: Period) -> None:
    found = replace(period, corrected=1, labelled=2, ignored={".txt": 3})
    words = re.sub(r"\s+", " ", Words(page_of(found)).words)
    assert "1 recording, of 2 that people labelled" in words
    assert "3 files ignored: .txt" in words
    assert re.search(r"Sites .*none21dog 1, siren 1 yard11dog 1", words)


def test_pictures_and_charts_have_words_for_those_who_cannot_see_them(period: Period) -> None:
    page = page_of(period)
    assert len(re.findall("<svg", page)) == len(re.findall('role="img" aria-label="[^"]+: ', page))


def test_numbers_fit_beside_a_chart() -> None:
    numbers = (7, 999, 1200, 9960, 120_000, 999_600, 3_400_000)
    assert [short(n) for n in numbers] == ["7", "999", "1.2k", "10k", "120k", "1.0M", "3.4M"]


def test_many_labels_are_shown_together(period: Period) -> None:
    many = tuple(LabelActivity(f"label-{at}", Counter({3: 1})) for at in range(40))
    with_labels = replace(period, activity=replace(period.activity, labels=many))
    words = Words(page_of(with_labels)).words
    assert "16 other labels" in words
    assert "label-30" not in words


def test_a_long_period_has_a_column_for_several_days(period: Period) -> None:
    whole = LabelActivity("dog", by_day=Counter({date(2025, 1, 1): 2, date(2025, 12, 31): 3}))
    long = replace(period, filters=replace(WEEK, since="1999-01-01T00:00:00.000Z"))
    calendar = calendar_of(long, whole)
    bars = calendar.bars(whole)
    assert (calendar.step, len(bars)) == (9, 41)
    assert (bars[0][1], bars[-1][1]) == (2, 3)


# --- audio


class Inline:
    """A pool without processes."""

    def __init__(self) -> None:
        self._answers: list[tuple[int, DecodedAudio | DecodingError]] = []

    def submit(self, key: int, stretch: Any) -> None:
        try:
            self._answers.append((key, decode(stretch)))
        except DecodingError as error:
            self._answers.append((key, error))

    def wait(self) -> tuple[int, DecodedAudio | DecodingError]:
        return self._answers.pop()


def excerpt_of(file: Path, digest: str | None = None) -> Excerpt:
    sample = Sample(1, file.name, "dog", 0.9, stamp(NOON), 1.0, digest or digest_of(file), file)
    return excerpts([sample], 8000, Inline())[0]  # type: ignore[arg-type]


def digest_of(file: Path) -> str:
    import hashlib

    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""


def test_a_tone_is_seen_as_a_line_at_its_pitch(audio_file: Callable[..., Path]) -> None:
    decibels = excerpt_of(audio_file()).decibels
    assert decibels is not None
    loudest = decibels.mean(axis=1).argmax()
    assert 5 < loudest < 25  # 440 of 4000 Hz, among 64 bands
    assert decibels[loudest].mean() - decibels[50].mean() > 30


def test_an_excerpt_of_a_long_recording_has_ten_seconds(
    audio_file: Callable[..., Path], tone: Callable[..., np.ndarray]
) -> None:
    assert excerpt_of(audio_file(samples=tone(seconds=12.0))).seconds == 10.0


def test_a_short_recording_is_not_drawn_out_with_silence(audio_file: Callable[..., Path]) -> None:
    assert excerpt_of(audio_file()).seconds == 1.0


@pytest.mark.parametrize("rate_hz", [8000, 44_100, 9600])
def test_a_player_gets_a_small_file(rate_hz: int, noise: Callable[..., np.ndarray]) -> None:
    import io

    import soundfile

    _, data = encode_excerpt(Excerpt(None, rate_hz, noise(10.0, rate_hz)))
    assert len(data) < 120_000
    assert soundfile.info(io.BytesIO(data)).duration == pytest.approx(10.0, abs=0.2)


def test_an_excerpt_begins_where_the_label_was_heard(
    audio_file: Callable[..., Path], tone: Callable[..., np.ndarray]
) -> None:
    samples = np.concatenate([np.zeros(5 * 8000, np.float32), tone(seconds=3.0)])
    file = audio_file(samples=samples)
    sample = Sample(1, "a", "dog", 0.9, stamp(NOON), 8.0, digest_of(file), file, start_s=5.0)
    (excerpt,) = excerpts([sample], 8000, Inline())  # type: ignore[arg-type]
    assert (excerpt.start_seconds, excerpt.seconds) == (5.0, 3.0)
    assert excerpt.samples is not None and np.abs(excerpt.samples[:800]).max() > 0.4


def test_an_excerpt_of_a_run_of_clips_ends_with_it(
    audio_file: Callable[..., Path], tone: Callable[..., np.ndarray]
) -> None:
    file = audio_file(samples=tone(seconds=8.0))
    run = Sample(1, "a", "dog", 0.9, stamp(NOON), 8.0, digest_of(file), file, 2.0, 5.0)
    (excerpt,) = excerpts([run], 8000, Inline())  # type: ignore[arg-type]
    assert (excerpt.start_seconds, excerpt.seconds) == (2.0, 3.0)


def test_a_file_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert excerpt_of(tmp_path / "gone.wav").problem == "the file is gone"


def test_another_content_under_the_old_name_is_not_shown(audio_file: Callable[..., Path]) -> None:
    excerpt = excerpt_of(audio_file(), digest="0" * 64)
    assert (excerpt.problem, excerpt.samples) == ("the file has another content by now", None)


# --- the command


@pytest.fixture
def used(make_house: Callable[..., House], audio_file: Callable[..., Path]) -> House:
    """A home in which one recording was answered and one failed, in March 2026."""
    house = make_house()
    house.drop(audio_file(), "a.wav")
    house.inbox.joinpath("broken.wav").write_text("no audio")
    house.live()
    return house


def call(house: House, *options: str) -> Result:
    invocation = Invocation(home_option=house.home.root)
    return CliRunner().invoke(report, [*options], obj=invocation)


MARCH = ("--since", "2026-03-01", "--until", "2026-04-01")


def test_the_command_writes_a_page_and_prints_where(used: House, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    done = call(used, *MARCH, "-o", str(file))
    assert (done.exit_code, done.stdout) == (0, f"{file}\n"), done.exception
    page = Words(file.read_text(encoding="utf-8"))
    assert (page.tags["audio"], page.tags["img"]) == (1, 1)


def test_the_page_begins_with_a_sentence(
    used: House, tmp_path: Path, audio_file: Callable[..., Path]
) -> None:
    for name in ("b", "c"):
        used.drop(audio_file(), f"mic01/{name}.wav")
    used.live()
    figures = json.loads(call(used, *MARCH, "--json", "-o", str(tmp_path / "x.html")).stdout)
    label = figures["labels"][0]["label"]
    assert figures["summary"] == f"{label} in 3 recordings, 2 of them at mic01, at 0 h."
    assert figures["summary"] in Words((tmp_path / "x.html").read_text(encoding="utf-8")).words


def test_json_prints_the_figures_as_one_object(used: House) -> None:
    figures = json.loads(call(used, *MARCH, "--json", "--no-audio").stdout)
    assert figures["counts"] == {"done": 1, "failed": 1, "pending": 0}
    assert len(figures["labels"][0]["by_hour"]) == 24
    assert Path(figures["report"]).parent == used.home.reports


def test_with_clips_the_page_says_how_often_a_label_was_heard(
    used: House, tmp_path: Path, audio_file: Callable[..., Path], tone: Callable[..., np.ndarray]
) -> None:
    used.drop(audio_file(samples=tone(seconds=12.0)), "mic01/long.wav")
    used.live()
    file = tmp_path / "x.html"
    figures = json.loads(call(used, *MARCH, "--clips", "--json", "-o", str(file)).stdout)
    number = sum(each["number"] for each in figures["labels"])
    assert figures["clips"] and f" {number} times, " in figures["summary"]
    page = Words(file.read_text(encoding="utf-8"))
    assert "A run of neighbouring clips of one label counts once" in page.words
    assert page.tags["audio"] == len(figures["most_confident"] + figures["least_confident"])


def test_a_confidence_is_asked_of_clips_only(used: House) -> None:
    done = call(used, "--min-confidence", "0.9")
    assert (done.exit_code, "add --clips" in done.stderr) == (2, True)


def test_of_an_empty_period_there_is_no_page_but_a_hint(used: House, tmp_path: Path) -> None:
    done = call(used, "--since", "2020-01-01", "--until", "2020-02-01", "-o", f"{tmp_path}/x.html")
    assert (done.exit_code, isinstance(done.exception, TrainerError)) == (1, True)
    assert "a longer --since, such as 30d" in str(done.exception)
    assert not (tmp_path / "x.html").exists()


def test_of_a_label_that_nothing_has_there_is_no_page(used: House) -> None:
    done = call(used, *MARCH, "--label", "whale")
    assert "or another --label (for short sounds `clfd results --clips`)" in str(done.exception)


def test_a_folder_that_is_not_there_is_named(used: House, tmp_path: Path) -> None:
    done = call(used, *MARCH, "-o", str(tmp_path / "nowhere" / "x.html"))
    assert "there is no such folder" in str(done.exception)


def test_a_time_that_is_none_is_wrong_usage(used: House) -> None:
    assert call(used, "--since", "soon").exit_code == 2
