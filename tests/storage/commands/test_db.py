"""Care of the ledger: checks, whole copies, and taking out what nobody needs."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, text, update

from clfd import cli
from daemon.intake.scanner import inboxes_of
from storage.commands.context import Invocation
from storage.database.engine import open_database
from storage.database.tables import embedding, finding, metadata, prediction, recording
from storage.home.paths import Home
from storage.ledger.ledger import Ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Failed, Linked, Scored
from storage.ledger.tallies import recount, tally_errors
from storage.maintenance.files_without_row import audio_files
from storage.maintenance.prune import _ANSWER_KEYS, carry_out
from storage.maintenance.prune_plan import PruneRequest, make_plan
from storage.settings.loading import load_settings
from storage.values.progress import ProgressTicker

QUIET = ProgressTicker(lambda _: None)
ODD = "yard/ä\udcff.wav"


class LedgerTester:
    """A home with a ledger, and the words in which these tests speak about it."""

    def __init__(self, home: Home) -> None:
        home.create()
        self.home = home
        self.now = "2026-01-01T00:00:00.000Z"
        self.ledger = Ledger(open_database(self.url, "daemon"), lambda: self.now)
        self.first, self.second = map(self._register, "ab")

    @property
    def url(self) -> str:
        return load_settings(self.home, environ={}).database

    def _register(self, letter: str) -> int:
        return self.ledger.register_checkpoint(letter * 64, letter, ["dog", "siren"], 5.0, {})

    def file(self, name: str = "a.wav") -> Path:
        return self.home.inbox / name

    def arrive(self, name: str = "a.wav", content: str = "bark") -> int:
        self.file(name).parent.mkdir(exist_ok=True)
        self.file(name).write_text(content)
        path = os.fsencode(name)
        self.ledger.admit([Arrival(self.home.inbox, path, f"of {content}", 10)])
        with self.ledger.database.transaction() as connection:
            query = select(recording.c.id).where(recording.c.path == path)
            return int(connection.scalars(query.order_by(recording.c.id.desc())).first() or 0)

    def answer(self, name: str = "a.wav", content: str = "bark") -> int:
        id = self.arrive(name, content)
        self.ledger.claim("me", 100, 3)
        self.ledger.record([scored(id, content, self.first)])
        return id

    def copy(self, name: str, leader: int, content: str = "bark") -> int:
        id = self.arrive(name, content)
        self.ledger.claim("me", 100, 3)
        self.ledger.record([Linked(id, facts(content), self.first, leader)])
        return id

    def rescore(self, id: int, content: str = "bark") -> None:
        self.set(id, requeued="rescore")
        self.ledger.claim("me", 100, 3)
        self.ledger.record([scored(id, content, self.second)])

    def share(self, id: int, leader: int) -> None:
        """As if `id` had been scored again, as a copy of `leader`."""
        query = select(prediction.c.id).where(prediction.c.recording_id == leader)
        with self.ledger.database.transaction() as connection:
            answer = connection.scalars(query.order_by(prediction.c.id)).first()
        self.set(id, prediction_id=answer, checkpoint_id=self.first)
        with self.ledger.database.transaction() as connection:
            recount(connection)

    def set(self, id: int, **values: Any) -> None:
        with self.ledger.database.transaction() as connection:
            connection.execute(update(recording).where(recording.c.id == id).values(values))

    def ids(self) -> list[int]:
        with self.ledger.database.transaction() as connection:
            return list(connection.scalars(select(recording.c.id).order_by(recording.c.id)))

    def n_predictions(self) -> int:
        with self.ledger.database.transaction() as connection:
            return len(connection.execute(select(prediction.c.id)).all())

    def n_embeddings(self) -> int:
        with self.ledger.database.transaction() as connection:
            return len(connection.execute(select(embedding)).all())

    def clfd(self, *words: str) -> Result:
        return CliRunner().invoke(cli, ["--home", str(self.home.root), *words], obj=Invocation())

    def checked(self) -> dict[str, Any]:
        return dict(json.loads(self.clfd("db", "check", "--json").stdout))

    def prune(self, *words: str) -> dict[str, Any]:
        return dict(json.loads(self.clfd("db", "prune", "--json", *words).stdout))


def facts(content: str) -> AudioFacts:
    return AudioFacts(content.encode().hex().zfill(64), 5.0, 44100, 1)


def scored(id: int, content: str, checkpoint: int) -> Scored:
    scores = struct.pack("<2f", 0.75, 0.25)
    answer = Scored(id, facts(content), checkpoint, "dog", 0.75, scores, scores[:4], 5.0, 5.0)
    return replace(answer, embeddings=b"\0\x3c" * 4)


@pytest.fixture
def tester(tmp_path: Path) -> Iterator[LedgerTester]:
    """Whatever a test does to the ledger, it is sound, and embeddings went with their answers."""
    tester = LedgerTester(Home(tmp_path / "home"))
    yield tester
    assert tester.n_embeddings() == tester.n_predictions()
    assert tester.ledger.database.problems() == []
    assert list(tally_errors(tester.ledger.database)) == []
    tester.ledger.close()


# --- check


def test_a_ledger_without_remarks_is_valid(tester: LedgerTester) -> None:
    tester.answer()
    printed = tester.checked()
    assert printed["sound"] and printed["recordings"] == printed["predictions"] == 1
    assert not any(printed[k] for k in ("superseded", "unused_predictions", "missing", "away"))
    assert printed["without_row"] == 0


def test_a_missing_file_is_reported_and_is_no_damage(tester: LedgerTester) -> None:
    tester.answer(ODD)
    tester.file(ODD).unlink()
    done = tester.clfd("db", "check")
    assert done.exit_code == 0
    assert "1 recording has no file any more" in done.stdout
    assert "yard/ä\\xff.wav" in done.stdout


def test_an_archived_file_is_looked_for_where_it_lies(tester: LedgerTester, tmp_path: Path) -> None:
    place = tmp_path / "archive" / "inbox" / "a.wav"
    place.parent.mkdir(parents=True)
    id = tester.answer()
    tester.file().rename(place)
    tester.set(id, archive_path=os.fsencode(place), archived_at=tester.now)
    assert tester.checked()["missing"] == 0
    place.unlink()
    assert tester.checked()["missing_paths"] == [str(place)]
    place.parent.rmdir()
    assert tester.checked()["away"] == [str(place.parent)]


def test_nothing_is_missing_in_an_inbox_that_is_away(tester: LedgerTester) -> None:
    tester.answer()
    tester.home.inbox.rename(tester.home.root / "elsewhere")
    printed = tester.checked()
    assert (printed["missing"], printed["away"]) == (0, [str(tester.home.inbox)])


@pytest.mark.sqlite
def test_an_empty_folder_where_a_card_was_mounted_is_away(
    tester: LedgerTester, tmp_path: Path
) -> None:
    tester.answer()
    tester.file().unlink()
    tester.ledger.note_mount_point(tester.home.inbox, tester.home.inbox)
    assert tester.checked()["away"] == [str(tester.home.inbox)]
    tester.ledger.note_mount_point(tester.home.inbox, tester.home.root)  # which holds the ledger
    assert (tester.checked()["missing"], tester.checked()["away"]) == (1, [])


def test_audio_files_without_a_row_are_counted(tester: LedgerTester) -> None:
    tester.answer()
    tester.file("new.WAV").touch()
    tester.file("notes.txt").touch()
    printed = tester.checked()
    assert printed["without_row_paths"] == [str(tester.file("new.WAV"))]


def test_the_check_leaves_out_what_a_scan_leaves_out(tester: LedgerTester) -> None:
    left_out = (".b.wav", "c.wav.part", "@eaDir/d.wav", ".x/e.wav", "old/f.wav", "h.wav")
    for name in ("a.wav", "g.ogg", *left_out):
        tester.file(name).parent.mkdir(exist_ok=True)
        tester.file(name).touch()
    tester.file("link.wav").symlink_to(tester.file())
    environ = {"CLFD_INTAKE__IGNORE": "old/*,h.wav"}
    settings = load_settings(tester.home, environ=environ)
    (inbox,) = inboxes_of(settings)
    taken = {arrival.path for arrival in inbox.scan().take(100)}
    assert {*audio_files(tester.home.inbox, settings)} == taken == {b"a.wav", b"g.ogg"}


def test_the_object_for_an_invalid_ledger_says_what_is_wrong(tester: LedgerTester) -> None:
    tester.answer()
    with tester.ledger.database.transaction() as connection:
        connection.execute(text("UPDATE tally SET n = n + 1"))
    done = tester.clfd("db", "check", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["problems"][0].startswith("counts wrongly: tally done")
    with tester.ledger.database.transaction() as connection:
        connection.execute(text("UPDATE tally SET n = n - 1"))


# --- backup


@pytest.mark.sqlite
def test_a_backup_is_a_whole_ledger_beside_it(tester: LedgerTester) -> None:
    tester.answer()
    done = tester.clfd("db", "backup")
    copy = Path(done.stdout.strip())
    assert copy.parent == tester.home.root and "checked" in done.stderr
    with open_database(f"sqlite:///{copy}", "reader") as database:
        assert database.problems() == []
        with database.transaction() as connection:
            assert connection.scalars(select(recording.c.path)).all() == [b"a.wav"]


@pytest.mark.sqlite
def test_a_backup_replaces_a_file_only_by_force(tester: LedgerTester, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    file.write_text("precious")
    refused = tester.clfd("db", "backup", "-o", str(file))
    assert refused.exit_code == 1 and "--force" in refused.stderr
    assert file.read_text() == "precious"
    assert tester.clfd("db", "backup", "-o", str(file), "--force").exit_code == 0
    assert file.read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_a_backup_takes_no_name_that_the_database_gives_files_of_its_own(
    tester: LedgerTester, end: str
) -> None:
    file = tester.home.ledger_file
    done = tester.clfd("db", "backup", "-o", f"{file}{end}", "--force")
    assert "belongs to the ledger" in done.output


@pytest.mark.sqlite
def test_a_backup_never_replaces_the_ledger(tester: LedgerTester) -> None:
    done = tester.clfd("db", "backup", "-o", str(tester.home.ledger_file), "--force")
    assert done.exit_code == 1 and "the ledger itself" in done.stderr


@pytest.mark.sqlite
def test_a_backup_that_cannot_be_written_says_why_and_what_to_do(tester: LedgerTester) -> None:
    for place, reason in (
        (tester.home.root / "none" / "x.db", "No such file or directory"),
        (tester.home.ledger_file / "x.db", "Not a directory"),
    ):
        done = tester.clfd("db", "backup", "-o", str(place))
        assert done.exit_code == 1
        assert done.stderr == (
            f"clfd: cannot write {place}: {reason};"
            " name a file in a folder that is there and that you may write to\n"
        )


# --- prune


def test_without_a_word_what_to_prune_nothing_is(tester: LedgerTester) -> None:
    assert tester.clfd("db", "prune").exit_code == 2
    assert tester.clfd("db", "prune", "--older-than", "soon").exit_code == 2


def test_a_dry_run_tells_and_changes_nothing(tester: LedgerTester) -> None:
    tester.answer()
    tester.file().unlink()
    done = tester.clfd("db", "prune", "--missing")
    assert done.exit_code == 0
    assert "would delete 1 recording (0 superseded, 1 missing)" in done.stdout
    assert f"  {tester.file()}" in done.stdout
    assert tester.ids() == [1]


@pytest.mark.sqlite
def test_a_dry_run_does_not_wait_for_a_daemon_that_writes(tester: LedgerTester) -> None:
    tester.rescore(tester.answer())
    tester.answer("b.wav", "meow")
    tester.file("b.wav").unlink()
    with tester.ledger.database.transaction():  # holds the ledger's lock
        shown = tester.prune("--missing", "--history")
    assert (shown["missing"], shown["history"]) == (1, 1)


def test_recordings_without_a_file_go_with_their_predictions(tester: LedgerTester) -> None:
    gone, there = tester.answer(ODD), tester.answer("b.wav", "meow")
    tester.file(ODD).unlink()
    printed = tester.prune("--missing", "--yes")
    assert (printed["dry_run"], printed["recordings"], printed["missing"]) == (False, 1, 1)
    assert tester.ids() == [there] and gone not in tester.ids()
    assert tester.n_predictions() == 1
    assert tester.checked()["valid"] is tester.checked()["sound"] is True


def test_a_recording_whose_file_lies_in_the_inbox_stays(tester: LedgerTester) -> None:
    tester.answer()
    tester.prune("--superseded", "--missing", "--older-than", "0s", "--history", "--yes")
    assert len(tester.ids()) == 1 == tester.n_predictions()


def test_a_failed_recording_goes_with_its_file(tester: LedgerTester) -> None:
    id = tester.arrive()
    tester.ledger.claim("me", 1, 3)
    tester.ledger.record([Failed(id, "decode", "no audio in it")])
    tester.file().unlink()
    assert tester.prune("--missing", "--yes")["missing"] == 1
    assert tester.ids() == []


def test_replaced_versions_go_and_the_current_one_stays(tester: LedgerTester) -> None:
    tester.answer(content="bark")
    current = tester.answer(content="meow")
    assert tester.checked()["superseded"] == 1
    assert tester.prune("--superseded", "--yes")["superseded"] == 1
    assert tester.ids() == [current]


def test_a_replaced_version_that_lies_in_the_archive_stays(
    tester: LedgerTester, tmp_path: Path
) -> None:
    place = tmp_path / "archived.wav"
    place.touch()
    archived = tester.answer(content="bark")
    tester.set(archived, archive_path=os.fsencode(place), archived_at=tester.now)
    tester.answer(content="meow")
    printed = tester.prune("--superseded", "--yes")
    assert (printed["superseded"], printed["kept_archived"]) == (0, 1)


def test_only_what_is_older_goes(tester: LedgerTester) -> None:
    tester.answer("old.wav")
    tester.now = "2026-03-01T00:00:00.000Z"
    young = tester.answer("young.wav", "meow")
    tester.file("old.wav").unlink()
    tester.file("young.wav").unlink()
    assert tester.prune("--older-than", "2026-02-01T00:00Z", "--yes")["missing"] == 1
    assert tester.ids() == [young]


def test_what_is_old_but_still_has_its_file_is_told_with_what_to_do(tester: LedgerTester) -> None:
    tester.answer("old.wav")
    tester.answer("gone.wav", "meow")
    tester.file("gone.wav").unlink()
    tester.now = "2026-03-01T00:00:00.000Z"
    tester.answer("young.wav", "moo")
    words = ("--older-than", "2026-02-01T00:00Z")
    assert tester.prune(*words)["kept_present"] == 1
    done = tester.clfd("db", "prune", *words)
    assert "kept 1 recording of that age whose file is still there: one in the" in done.stdout
    assert "add --yes" in done.stderr


def test_where_nothing_would_go_nobody_is_told_to_do_it(tester: LedgerTester) -> None:
    tester.answer()
    done = tester.clfd("db", "prune", "--older-than", "0s")
    assert done.stderr == "nothing was changed\n"
    assert "kept 1 recording of that age" in done.stdout


def test_what_lies_in_a_folder_that_is_away_is_not_told_as_there(tester: LedgerTester) -> None:
    tester.answer()
    shutil.rmtree(tester.file().parent)
    figures = tester.prune("--older-than", "0s")
    assert (figures["kept_present"], figures["away"]) == (0, [str(tester.file().parent)])


def test_an_answer_that_another_shares_stays_with_its_recording(tester: LedgerTester) -> None:
    leader = tester.answer("a.wav")
    copy = tester.copy("b.wav", leader)
    tester.file("a.wav").unlink()
    for words in ([], ["--yes"]):
        printed = tester.prune("--missing", *words)
        assert (printed["missing"], printed["kept_shared"]) == (0, 1)
    assert tester.ids() == [leader, copy]


@pytest.mark.parametrize("at_once", [1000, 1])
def test_an_answer_goes_with_all_that_share_it(
    tester: LedgerTester, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("storage.maintenance.prune._AT_ONCE", at_once)
    leader = tester.answer("a.wav")
    tester.copy("b.wav", leader)
    later = tester.answer("c.wav")  # of the same content, with an answer of its own
    tester.share(leader, later)  # so the earlier one hangs on the later one
    for name in "abc":
        tester.file(f"{name}.wav").unlink()
    assert tester.prune("--missing", "--yes")["missing"] == 3
    assert (tester.ids(), tester.n_predictions()) == ([], 0)


def test_a_chain_of_shared_answers_stays_as_a_whole(tester: LedgerTester) -> None:
    first = tester.answer("a.wav")
    second = tester.answer("b.wav")
    stays = tester.copy("c.wav", second)
    tester.share(second, first)
    tester.file("a.wav").unlink()
    tester.file("b.wav").unlink()
    assert tester.prune("--missing")["kept_shared"] == 2
    assert tester.prune("--missing", "--yes")["missing"] == 0
    assert tester.ids() == [first, second, stays]


def test_queued_recordings_are_not_pruned_and_nothing_else_is_then(tester: LedgerTester) -> None:
    tester.answer("a.wav")
    tester.arrive("b.wav")
    tester.file("a.wav").unlink()
    tester.file("b.wav").unlink()
    assert tester.prune("--missing")["kept_busy"] == 1
    done = tester.clfd("db", "prune", "--missing", "--yes")
    assert done.exit_code == 1 and "the first is b.wav" in done.stderr
    assert len(tester.ids()) == 2


def test_earlier_predictions_go_and_current_ones_stay(tester: LedgerTester) -> None:
    leader = tester.answer("a.wav")
    tester.copy("b.wav", leader)  # still shares the leader's first answer
    other = tester.answer("c.wav", "meow")
    tester.rescore(leader)
    tester.rescore(other, "meow")
    assert tester.checked()["unused_predictions"] == 1
    assert tester.prune("--history")["history"] == 1
    assert tester.prune("--history", "--yes")["history"] == 1
    assert tester.n_predictions() == 3
    assert tester.prune("--history")["history"] == 0


def test_the_history_of_what_goes_is_not_counted_twice(tester: LedgerTester) -> None:
    tester.rescore(tester.answer())
    tester.file().unlink()
    printed = tester.prune("--missing", "--history", "--yes")
    assert (printed["missing"], printed["history"]) == (1, 0)
    assert tester.n_predictions() == 0


def test_what_changed_since_the_plan_stays(tester: LedgerTester) -> None:
    back, shared, rescored = (
        tester.answer("a.wav"),
        tester.answer("b.wav", "meow"),
        tester.answer("c.wav", "woof"),
    )
    tester.rescore(rescored, "woof")
    tester.file("a.wav").unlink()
    tester.file("b.wav").unlink()
    request = PruneRequest(missing=True, history=True)
    with open_database(tester.url, "pruner") as database:
        plan = make_plan(database, request, QUIET)
        tester.file("a.wav").touch()
        copy = tester.copy("d.wav", shared, "meow")
        tester.share(rescored, rescored)  # its first answer is that of today again
        carry_out(database, plan, QUIET)
    assert tester.ids() == [back, shared, rescored, copy]
    printed = plan.figures(is_done=True)
    assert (printed["kept_changed"], printed["kept_shared"], printed["history"]) == (2, 1, 0)


def test_a_file_that_comes_back_after_all_is_a_new_recording(tester: LedgerTester) -> None:
    before = tester.answer()
    tester.file().unlink()
    tester.prune("--missing", "--yes")
    assert tester.answer() > before


def test_every_key_that_leads_to_a_recording_or_an_answer_is_looked_after() -> None:
    """The pruner holds no foreign keys; a table that is added has to be thought of."""
    keys = [key for table in metadata.sorted_tables for key in table.foreign_keys]
    to_recordings = [key for key in keys if key.column.table is recording]
    to_predictions = [key.parent for key in keys if key.column.table is prediction]
    assert {key.ondelete for key in to_recordings} == {"CASCADE"}
    own = {embedding.c.prediction_id, finding.c.prediction_id}
    assert {*to_predictions} == {recording.c.prediction_id, *own} and {*_ANSWER_KEYS} == own
