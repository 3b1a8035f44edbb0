"""Every setting with its type, default, limits and reason, as one frozen pydantic model.

The text below a setting is its reason, which `clfd.toml` and the docs show.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from storage.home.paths import DEFAULT_DATABASE, Home, database_url
from storage.values.alert import BodyTemplate
from storage.values.decision import (
    LONG_CLIPS,
    NEGATIVE_LABELS,
    DisplayRules,
    check_site_pattern,
    thresholds_of,
)
from storage.values.http_headers import headers_of
from storage.values.listen_address import host_and_port, page_place
from storage.values.timestamps import is_zone, parse_duration


def _split_at_commas(value: object) -> object:
    """One text may stand for a list; in the environment a comma separates."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _split_at_line_ends(value: object) -> object:
    """One text may stand for a list of which the parts hold commas."""
    return value.splitlines() if isinstance(value, str) else value


def _split_at_signs(value: object) -> object:
    """In the environment FOLDER=NAME stands for an entry."""
    if not isinstance(value, str):
        return value
    return dict(part.strip().rsplit("=", 1) for part in value.split(",") if "=" in part)


def _shared_names(names: dict[str, str]) -> dict[str, str]:
    """The folders made absolute; two folders are not one inbox."""
    if not all(names.values()) or len({*names.values()}) < len(names):
        raise ValueError("each shared folder needs a name of its own")
    return {os.path.normpath(_expanded(Path(folder))): name for folder, name in names.items()}


def _split_like_shell(value: object) -> object:
    """One text is split into words as a shell splits it."""
    return shlex.split(value) if isinstance(value, str) else value


def _absolute_path(path: str, info: ValidationInfo) -> str:
    """The path made absolute, a relative one from the home on; an empty one stays empty."""
    if not path.strip():
        return ""
    return os.path.normpath(_home_folder(info) / _expanded(Path(path)))


def _home_folder(info: ValidationInfo) -> Path:
    home = (info.context or {}).get("home")
    return home.root if isinstance(home, Home) else Path.cwd()


def _expanded(folder: Path) -> Path:
    try:
        return folder.expanduser()
    except RuntimeError:
        raise ValueError(f"{folder} names a user who is not known here") from None


def _lower_with_dot(suffixes: tuple[str, ...]) -> tuple[str, ...]:
    for suffix in suffixes:
        if not re.fullmatch(r"\.[^./\s]+", suffix):
            raise ValueError(f"{suffix!r} is no suffix; write one like .wav")
    return tuple(dict.fromkeys(suffix.lower() for suffix in suffixes))


def _known_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise ValueError("should be auto, cpu, cuda, cuda:N or mps")
    return device


def _known_zone(zone: str) -> str:
    if not is_zone(zone):
        raise ValueError(f"{zone!r} is no time zone; write local, UTC, +01:00 or Europe/Berlin")
    return zone


def _checked_by(check: Callable[[Any], object]) -> AfterValidator:
    """The value as it is, unless the check raises ValueError; an empty one needs none."""

    def validate(value: Any) -> Any:
        if value:
            check(value)
        return value

    return AfterValidator(validate)


def _on_the_web(url: str) -> str:
    if url and not re.fullmatch(r"https?://[^/@\s?#]+([/?]\S*)?", url):
        raise ValueError("should begin with http:// or https:// and a host, without a password")
    return url


_SUFFIXES = (
    *(".wav", ".wave", ".bwf", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".flac", ".mp3", ".mp2"),
    *(".mpga", ".ogg", ".oga", ".opus", ".spx", ".m4a", ".m4b", ".aac", ".3gp", ".3gpp", ".3ga"),
    *(".amr", ".awb", ".caf", ".au", ".snd", ".webm", ".weba", ".mka", ".wma", ".wv", ".ape"),
    *(".tta", ".ac3", ".eac3"),
    # Sound that is not read, each with a row that says what to do.
    *(".wac", ".w4v", ".zc", ".sud", ".ra", ".dsf", ".dff", ".mpc", ".shn", ".tak", ".voc", ".dts"),
)
Lines = Annotated[tuple[str, ...], BeforeValidator(_split_at_line_ends)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_split_at_commas)]
PathText = Annotated[str, AfterValidator(_absolute_path)]
Count = Annotated[int, Field(ge=0)]
Threads = Annotated[int, Field(ge=0, le=1024)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,  # it may be a secret, and tracebacks show it
        validate_default=True,
        use_attribute_docstrings=True,
    )


class IntakeSettings(Section):
    """Which files are taken from the inboxes, and when."""

    suffixes: Annotated[Texts, Field(min_length=1), AfterValidator(_lower_with_dot)] = _SUFFIXES
    """endings of audio files, in any case; add .mp4, .mov or .mkv for the first sound track of
    videos"""
    ignore: Texts = ()
    """globs of files and folders to leave out: `*_test.wav` by name at any depth, `old/*` with a
    slash by path from the inbox"""
    watch: Literal["auto", "events", "scans"] = "auto"
    """how new files are noticed between two scans: by the kernel's events, or not at all; auto: by
    events, but for network file systems"""
    settle_seconds: NotNegative = 2.0
    """how long a file must lie still before it is taken, unless it was closed and its container is
    visibly whole"""
    scan_seconds: Positive = 30.0
    """time between two full listings of the inbox, which find what events miss"""
    duplicates: Literal["link", "score"] = "link"
    """a copy under another name shares the first answer, or is scored again"""
    max_attempts: Annotated[int, Field(ge=1)] = 3
    """how often a recording is tried before it counts as failed"""
    damaged: Literal["fail", "warn"] = "fail"
    """a recording that is not whole fails, or what is left of it is scored with a warning"""
    archive_dir: PathText = ""
    """where done files are moved to; relative to the home; empty: they stay in the inbox"""


class EngineSettings(Section):
    """How recordings are decoded and scored."""

    device: Annotated[str, AfterValidator(_known_device)] = "auto"
    """where the network runs: auto, cpu, cuda, cuda:N or mps"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """in what the network multiplies; auto is bfloat16 where the device is fast at it and the
    checkpoint's canary stays within 0.02"""
    compile: Literal["auto", "always", "never"] = "auto"
    """whether the network is compiled in the background; auto: once 50,000 clips are scored, where
    the processor is fast at bfloat16"""
    batch_clips: Count = 0
    """most clips scored in one step; 0 is 32, on a GPU 256"""
    clip_pooling: Literal["mean", "max"] = "mean"
    """how a recording's scores are made from those of its clips"""
    long_clips: Annotated[int, Field(ge=1)] = LONG_CLIPS
    """a recording of more clips is answered by what was found in any of them, a shorter one by its
    scores"""
    channel: Literal["mean", "loudest"] | Annotated[int, Field(ge=1, le=64)] = "mean"
    """what of several channels is scored, and learned from: their mean, the loudest, or the one of
    this number"""
    overlap_seconds: NotNegative = 0.0
    """how much of a clip the next one repeats"""
    embeddings: bool = False
    """whether the ledger keeps the pooled features of each clip"""
    decode_workers: Count = 0
    """processes that decode audio; 0 is one for each core that clfd may use"""
    decode_timeout_seconds: Positive = 60.0
    """longest time for decoding one stretch before its worker is killed"""
    max_hours: Positive = 48.0
    """longest recording that is accepted, in hours"""
    threads: Threads = 0
    """torch threads; 0 is all that there are"""

    @property
    def scoring(self) -> str:
        """Those of these that decide what is stored of a prediction, which is stored with them."""
        usual = f"{self.clip_pooling}/{self.channel}/{self.overlap_seconds:g}"
        if self.long_clips != LONG_CLIPS:
            usual += f"/{self.long_clips}"
        return f"{usual}/embeddings" if self.embeddings else usual


class TrainingSettings(Section):
    """How training shares the machine with whatever else runs on it."""

    nice: Annotated[int, Field(ge=0, le=19)] = 10
    """by how much training lowers its own priority"""
    threads: Threads = 0
    """torch threads of training; 0 is all, or half while a daemon serves the home"""
    memory_gib: NotNegative = 0.0
    """most memory for decoded clips, in GiB, before they go into a file on disk; 0 is half of what
    is free"""
    negative_labels: Texts = NEGATIVE_LABELS
    """what a row of nothing is called besides `none`: where a network learns several labels at
    once, these are not among them; capitals or not; results have words of their own"""


class ResultsSettings(Section):
    """How results are shown."""

    time_zone: Annotated[str, AfterValidator(_known_zone)] = "local"
    """of the recorders' clocks, where neither name nor file tells it: local, UTC, +01:00 or a name
    like Europe/Berlin"""
    thresholds: Annotated[Texts, _checked_by(thresholds_of)] = ()
    """LABEL=CONFIDENCE: a label that is less confident is not told; these go before the
    checkpoint's thresholds"""
    unknown_below: Share = 0.0
    """in a single task, answers less confident are shown as `unknown`, where the label has no
    threshold of its own"""
    novel_above: Share = 1.0
    """recordings with a higher novelty are shown as `unknown`, but not their clips; 1: none is"""
    site_pattern: Annotated[str, _checked_by(check_site_pattern)] = ""
    """regular expression with a group `site`, looked for in the path; empty: the site is the first
    folder"""

    @property
    def display_rules(self) -> DisplayRules:
        thresholds = thresholds_of(self.thresholds)
        own = self.unknown_below, self.site_pattern, self.novel_above
        return DisplayRules(self.time_zone, thresholds, *own)


class CheckpointsSettings(Section):
    """How many checkpoints are kept."""

    keep: Count = 20
    """checkpoints that `clfd train` leaves, with their reports; 0 keeps all"""


class LogSettings(Section):
    """What the daemon writes to stderr."""

    format: Literal["auto", "text", "json"] = "auto"
    """lines for people (text) or for machines (json); auto: records with fields in systemd's
    journal, elsewhere text"""
    level: Literal["debug", "info", "warning"] = "info"
    """the least important message that is written"""


class MetricsSettings(Section):
    """Where the daemon writes its metrics for Prometheus."""

    listen: Annotated[str, _checked_by(host_and_port)] = ""
    """HOST:PORT of a page with metrics, on this machine only, like 127.0.0.1:9464; empty: none"""
    textfile: PathText = ""
    """a file of metrics for a collector, relative to the home; empty: none"""


class HooksSettings(Section):
    """Who gets each result, or an alert for each sound in it."""

    command: Annotated[tuple[str, ...], BeforeValidator(_split_like_shell)] = ()
    """a program and its arguments, started without a shell for each answer, with the result as
    JSON on its stdin; empty: none"""
    url: Annotated[str, AfterValidator(_on_the_web)] = ""
    """where each result is sent as JSON by POST; empty: nowhere"""
    labels: Texts = ()
    """labels whose answers hooks get; empty: all"""
    min_confidence: Share = 0.0
    """least confidence of the answers that hooks get"""
    timeout_seconds: Positive = 30.0
    """how long a command may take before it is killed, and a URL be silent"""
    per: Literal["recording", "clip"] = "recording"
    """what hooks get: each recording's result, or an alert for each run of neighbouring clips with
    one label"""
    cooldown: Annotated[str, _checked_by(parse_duration)] = ""
    """after an alert, how long further ones of its label and site are only counted, like 90s, 10m
    or 2h; empty: all are sent"""
    headers: Annotated[Lines, _checked_by(headers_of)] = ()
    """NAME: VALUE, sent to the URL with each result; they may be secrets and are not shown"""
    body: Annotated[str, _checked_by(BodyTemplate)] = ""
    """what hooks get in place of the JSON: a text, or JSON, with $label, $site, $path and the like
    in it; empty: the JSON"""


class WebSettings(Section):
    """The page that `clfd web` serves."""

    listen: Annotated[str, _checked_by(page_place)] = "127.0.0.1:8474"
    """HOST:PORT on this machine, or unix:PATH for a proxy in front of it"""
    hosts: Texts = ()
    """names by which a proxy calls the page, the first of them in links; it has to speak https"""
    read_only: bool = False
    """whether the page only shows, and changes nothing"""


class FleetSettings(Section):
    """Several daemons with one ledger, on a server."""

    lease_seconds: Annotated[float, Field(ge=3)] = 30.0
    """after how much silence of a daemon the others take over what it had claimed"""
    inboxes: Annotated[
        dict[str, str], BeforeValidator(_split_at_signs), AfterValidator(_shared_names)
    ] = {}
    """watched folders that other machines see as well, each with the name it has in the ledger,
    like {"/mnt/audio" = "north-array"}"""


class Settings(Section):
    """Every setting, checked; paths are absolute when loaded by `load_settings`."""

    inbox: Annotated[tuple[Path, ...], Field(min_length=1)] = (Path("inbox"),)
    """the watched folder, or a list of them; relative to the home"""
    database: Annotated[str, Field(pattern=r"^[a-z0-9+]+://")] = DEFAULT_DATABASE
    """SQLAlchemy URL of the ledger; a relative SQLite file is relative to the home"""
    intake: IntakeSettings = IntakeSettings()
    engine: EngineSettings = EngineSettings()
    training: TrainingSettings = TrainingSettings()
    checkpoints: CheckpointsSettings = CheckpointsSettings()
    results: ResultsSettings = ResultsSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    hooks: HooksSettings = HooksSettings()
    web: WebSettings = WebSettings()
    fleet: FleetSettings = FleetSettings()

    @property
    def inboxes(self) -> tuple[Path, ...]:
        """The watched folders, absolute."""
        return self.inbox

    @property
    def archive(self) -> Path | None:
        """Where done files go, absolute; None: nowhere."""
        return Path(self.intake.archive_dir) if self.intake.archive_dir else None

    @field_validator("inbox", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        folders = [value] if isinstance(value, str | Path) else value
        if isinstance(folders, list) and any(str(folder).strip() == "" for folder in folders):
            raise ValueError("should name a folder")
        return folders

    @field_validator("inbox")
    @classmethod
    def _absolute_and_apart(
        cls, folders: tuple[Path, ...], info: ValidationInfo
    ) -> tuple[Path, ...]:
        root = _home_folder(info)
        absolute = tuple(Path(os.path.normpath(root / _expanded(f))) for f in folders)
        for position, folder in enumerate(absolute):
            for other in absolute[position + 1 :]:
                if folder.is_relative_to(other) or other.is_relative_to(folder):
                    raise ValueError(f"{folder} and {other} overlap; a file belongs to one inbox")
        return absolute

    @field_validator("database")
    @classmethod
    def _in_home(cls, url: str, info: ValidationInfo) -> str:
        return database_url(_home_folder(info), url)
