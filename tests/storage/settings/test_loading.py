"""Settings: who wins, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from storage.commands.context import Invocation
from storage.errors import SettingsError
from storage.home.paths import Home
from storage.ledger.ledger import open_ledger
from storage.settings.loading import SECTIONS, described_settings, effective_settings, load_settings
from storage.settings.schema import Settings


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def write(home: Home, toml: str) -> None:
    home.settings_file.write_text(toml)


def test_the_sections_are_named_where_nothing_is_checked() -> None:
    named = {s.key.partition(".")[0] for s in described_settings() if "." in s.key}
    assert set(SECTIONS) == named


@pytest.mark.parametrize("folder", ["plain", "odd %41 ?"])
@pytest.mark.parametrize(
    "toml", [None, "[engine]\n", 'database = "other.db"\n', "[log]\nlevel = 'info'"]
)
def test_a_light_command_finds_the_database_of_the_settings(
    tmp_path: Path, folder: str, toml: str | None
) -> None:
    home = Home(tmp_path / folder)
    home.root.mkdir()
    if toml is not None:
        write(home, toml.replace("other", "sqlite:///other"))
    invocation = Invocation(home.root)
    assert invocation.database() == invocation.settings().database


def load(home: Home, overrides: dict[str, object] | None = None, **environ: str) -> Settings:
    return load_settings(home, overrides, environ)


def test_a_home_without_a_settings_file_has_the_defaults(home: Home) -> None:
    settings = load(home)
    assert settings.inboxes == (home.inbox,)
    assert settings.database == f"sqlite:///{home.ledger_file}"


def test_a_settings_file_that_cannot_be_read_is_refused_with_what_to_do(home: Home) -> None:
    home.settings_file.mkdir()
    with pytest.raises(SettingsError, match=r"cannot read .*clfd\.toml: .*; make it a file that"):
        load(home)


def test_a_file_that_notepad_saved_with_a_byte_order_mark_is_read(home: Home) -> None:
    home.settings_file.write_bytes(b'\xef\xbb\xbf[log]\r\nlevel = "debug"\r\n')
    assert load(home).log.level == "debug"


def test_the_command_line_beats_variables_beats_the_file_beats_defaults(home: Home) -> None:
    write(home, "[engine]\nbatch_clips = 2\nthreads = 2\ndecode_workers = 2\n")
    variables = {"CLFD_ENGINE__BATCH_CLIPS": "3", "CLFD_ENGINE__THREADS": "3"}
    engine = load(home, {"engine.batch_clips": 4}, **variables).engine
    assert (engine.batch_clips, engine.threads, engine.decode_workers) == (4, 3, 2)


def test_every_value_says_where_it_came_from(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLFD_DATABASE", "sqlite:////x.db")
    write(home, "[engine]\nthreads = 2\n")
    sources = {setting.key: setting.source for setting in effective_settings(home)}
    assert sources["engine.threads"] == "clfd.toml"
    assert sources["database"] == "CLFD_DATABASE"
    assert sources["inbox"] == "default"


def test_several_inboxes_may_stand_in_one_variable(home: Home) -> None:
    assert load(home, CLFD_INBOX="yard:/srv/roof").inboxes == (
        home.root / "yard",
        Path("/srv/roof"),
    )


def test_inboxes_may_not_overlap(home: Home) -> None:
    with pytest.raises(SettingsError, match=r"CLFD_INBOX = .* overlap"):
        load(home, CLFD_INBOX="/srv/yard:/srv/yard/roof")


def test_recordings_of_phones_are_taken() -> None:
    assert {".m4a", ".3gp", ".3gpp", ".3ga", ".amr", ".awb"} <= set(Settings().intake.suffixes)


def test_suffixes_are_lower_case(home: Home) -> None:
    assert load(home, CLFD_INTAKE__SUFFIXES=".WAV, .flac").intake.suffixes == (".wav", ".flac")


def test_a_file_that_is_nested_beyond_measure_is_no_toml(home: Home) -> None:
    write(home, "a = " + "[" * 100_000)
    with pytest.raises(SettingsError, match="not valid TOML"):
        load(home)


def test_a_pipe_in_place_of_the_file_makes_nobody_wait(home: Home) -> None:
    os.mkfifo(home.settings_file)
    with pytest.raises(SettingsError, match=r"clfd\.toml: it is no file"):
        load(home)


def test_a_file_far_larger_than_settings_is_not_read(home: Home) -> None:
    home.settings_file.touch()
    os.truncate(home.settings_file, 50 * 2**30)
    with pytest.raises(SettingsError, match=r"clfd\.toml: it has more than 1048576 bytes"):
        load(home)


def test_a_device_in_place_of_the_file_is_refused(home: Home) -> None:
    home.settings_file.symlink_to("/dev/zero")
    with pytest.raises(SettingsError, match=r"clfd\.toml: it is no file"):
        load(home)


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("[engine]\ndevise = 'cpu'", r"engine\.devise .*did you mean engine\.device"),
        ("devise = 'cpu'", r"did you mean engine\.device"),
        ("[engin]\ndevice = 'cpu'", r"did you mean engine\.device"),
        ("[nothing]", r"unknown setting nothing"),
        ("[engine]\nbatch_clips = -1", r"engine\.batch_clips .*= -1: .*greater than or equal to 0"),
        ("[engine]\ndevice = 'gpu'", r"engine\.device .*auto, cpu, cuda"),
        ("[intake]\nsuffixes = ['wav']", r"intake\.suffixes .*write one like \.wav"),
        ("[intake]\nduplicates = 'no'", r"intake\.duplicates .*'link' or 'score'"),
        ("[intake]\nscan_seconds = inf", r"intake\.scan_seconds .*finite"),
        ("inbox = ''", r"inbox .*should name a folder"),
        ("inbox = ", r"not valid TOML"),
        ("[hooks]\ninbox = 'a'", r"hooks\.inbox .*; inbox is in no section: write it above"),
        ("[hooks]\n[hooks]", r"twice .*; put your keys under the section that is there"),
    ],
)
def test_a_bad_file_is_refused_by_name(home: Home, toml: str, complaint: str) -> None:
    write(home, toml)
    with pytest.raises(SettingsError, match=complaint) as refusal:
        load(home)
    assert refusal.value.exit_code == 78
    assert "\n" not in str(refusal.value) or "TOML" in str(refusal.value)


def test_an_unknown_variable_is_refused_with_the_nearest(home: Home) -> None:
    with pytest.raises(SettingsError, match="CLFD_DATABSE; did you mean CLFD_DATABASE"):
        load(home, CLFD_DATABSE="x")


def test_the_home_variable_is_no_setting(home: Home) -> None:
    assert load(home, CLFD_HOME="/elsewhere").inboxes == (home.inbox,)


def test_all_problems_are_told_at_once(home: Home) -> None:
    with pytest.raises(SettingsError, match=r"engine\.threads.*; log\.level"):
        load(home, {"engine.threads": -1, "log.level": "loud"})


def test_settings_do_not_change(home: Home) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(home).engine.batch_clips = 3  # type: ignore[misc]


def test_every_setting_has_a_reason() -> None:
    assert all(setting.description for setting in described_settings())


def test_the_ledger_is_found_in_a_home_with_odd_characters(tmp_path: Path) -> None:
    home = Home(tmp_path / "50%20 or so? #1")
    home.create()
    with open_ledger(load(home).database, "writer"):
        assert home.ledger_file.exists()


def test_an_inbox_of_an_unknown_user_is_refused(home: Home) -> None:
    with pytest.raises(SettingsError, match=r"inbox .* names a user who is not known"):
        load(home, {"inbox": "~no-such-user/inbox"})


def test_secrets_in_headers_are_not_shown(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLFD_HOOKS__HEADERS", "Authorization: Bearer secret\nTags: a,b")
    assert load_settings(home).hooks.headers == ("Authorization: Bearer secret", "Tags: a,b")
    (shown,) = (s.value for s in effective_settings(home) if s.key == "hooks.headers")
    assert shown == ["Authorization: (hidden)", "Tags: (hidden)"]


@pytest.mark.parametrize(
    "value", ["Authorization secret", ["Authorization secret"], 7, ["A: secret", 7]]
)
def test_a_header_that_is_refused_is_not_shown(home: Home, value: object) -> None:
    with pytest.raises(SettingsError, match=r"hooks\.headers \(command line\)") as refusal:
        load(home, {"hooks.headers": value})
    causes = f"{refusal.value} {refusal.value.__cause__}"
    assert "secret" not in causes


@pytest.mark.parametrize("value", ["10", "ten minutes", "1e9d", "9999999999999d"])
def test_a_cooldown_is_a_length_of_time(home: Home, value: str) -> None:
    with pytest.raises(SettingsError, match="no length of time; write 90s, 10m, 2h or 1d"):
        load(home, {"hooks.cooldown": value})


def test_a_body_with_an_unknown_field_is_refused(home: Home) -> None:
    with pytest.raises(SettingsError, match=r"hooks\.body .*no field \$lable; did you mean"):
        load(home, {"hooks.body": "$lable"})
