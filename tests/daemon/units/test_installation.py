"""What stands in an environment file means here what it means to systemd."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.errors import DaemonError
from daemon.units.installation import parse_environment_file, plan_installation
from daemon.units.systemctl import ServiceManager
from daemon.units.unit_files import environment_file

LINES = {
    "A=plain": {"A": "plain"},
    "  A =  two words  ": {"A": "two words"},
    "A=/srv/a#b;c": {"A": "/srv/a#b;c"},
    "# A=1\n; B=2\nC=3": {"C": "3"},
    "A=\nB=1": {"A": "", "B": "1"},
    "A=''\nB=\"\"": {"A": "", "B": ""},
    "no variable\nA=1": {"A": "1"},
    "export A=1\n1A=2": {},
    "A='single \"$x\" '": {"A": 'single "$x" '},
    "A=\" double 'x'\"": {"A": " double 'x'"},
    'A=it"s "literal"': {"A": 'it"s "literal"'},
    "A=$HOME": {"A": "$HOME"},
    "A=1\nA=2": {"A": "2"},
    "CLFD_INBOX=/srv/a, /srv/b\r\n": {"CLFD_INBOX": "/srv/a, /srv/b"},
}


@pytest.mark.parametrize("text", LINES)
def test_a_line_means_what_systemd_takes_it_for(text: str) -> None:
    assert parse_environment_file(text) == LINES[text]


@pytest.mark.parametrize("line", ["A=C:\\x", 'A="a"b', "A='two", 'A="x"  # note'])
def test_a_line_that_is_read_in_another_way_by_systemd_is_refused(line: str) -> None:
    with pytest.raises(DaemonError, match="has the line"):
        parse_environment_file(f"B=1\n{line}\n")


def test_an_environment_file_without_end_is_refused(tmp_path: Path) -> None:
    file = environment_file(False, tmp_path)
    file.parent.mkdir(parents=True)
    file.symlink_to("/dev/zero")
    with pytest.raises(DaemonError, match=r"cannot be read \(it is no file, .*; mend the file"):
        plan_installation(
            tmp_path, None, None, None, ServiceManager(for_user=False), {}, root=tmp_path
        )


def test_a_user_who_is_not_known_is_asked_where_units_lie(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    with pytest.raises(DaemonError, match="set HOME or XDG_CONFIG_HOME"):
        environment_file(True, tmp_path)
