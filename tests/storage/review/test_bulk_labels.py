"""A label for all that filters choose is one act, of just those that its author saw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_rows import DOG, RAIN, add_clips
from sqlalchemy import select

from storage.database.database import Database
from storage.database.tables import human_label
from storage.errors import StorageError
from storage.labels.label_events import LabelEvent, undo_events, write_events
from storage.ledger.ledger import open_ledger
from storage.queries.filters import Filters
from storage.review import bulk_labels
from storage.review.bulk_labels import CountMoved, label_matching

YARD = Filters(path="yard/*")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_ledger(f"sqlite:///{tmp_path / 'clfd.db'}", "daemon") as ledger:
        for name in ("yard/a.wav", "yard/b.wav", "yard/c.wav", "roof/d.wav"):
            add_clips(ledger, name, [DOG, RAIN])
        yield ledger.database


def given(database: Database) -> dict[int, str]:
    with database.transaction() as connection:
        found = connection.execute(select(human_label.c.digest, human_label.c.label))
        return {int(digest): label for digest, label in found}


def test_all_that_fit_are_labelled_and_one_undo_takes_it_back(database: Database) -> None:
    outcome = label_matching(database, YARD, "owl", 3, "ann", "act")
    assert given(database) == {1: "owl", 2: "owl", 3: "owl"}
    undo_events(database, [one.id for one in outcome.events], "ann")
    assert given(database) == {}


def test_nothing_is_labelled_where_another_number_fits_now(database: Database) -> None:
    with pytest.raises(CountMoved, match="3 recordings fit now, not 2"):
        label_matching(database, YARD, "owl", 2, "ann", "act")
    assert given(database) == {}


def test_more_than_the_limit_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_labels, "MOST", 2)
    with pytest.raises(StorageError, match="more than 2 recordings fit; narrow"):
        label_matching(database, YARD, "owl", 3, "ann", "act")


def test_what_another_person_said_is_kept_and_told_unless_it_is_to_be_replaced(
    database: Database,
) -> None:
    write_events(database, [LabelEvent("e1", f"{1:064}", "label", "dog")], "bob")
    write_events(database, [LabelEvent("e2", f"{2:064}", "label", "dog")], "ann")
    outcome = label_matching(database, YARD, "owl", 3, "ann", "act")
    assert given(database) == {1: "dog", 2: "owl", 3: "owl"}
    assert [one.standing.author for one in outcome.conflicts] == ["bob"]
    label_matching(database, YARD, "owl", 3, "ann", "another", replaces=True)
    assert given(database) == {1: "owl", 2: "owl", 3: "owl"}


def test_an_act_that_comes_again_is_not_written_again_whatever_fits_now(database: Database) -> None:
    unlabelled = Filters(unlabelled=True)
    first = label_matching(database, unlabelled, "owl", 4, "ann", "act")
    again = label_matching(database, unlabelled, "owl", 4, "ann", "act")
    assert again.events == first.events
    assert again.repeated == {one.id for one in first.events}
