"""A period in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from storage.queries.figures.activity import Activity, LabelActivity, SiteActivity
from trainer.reports import period_summary

SIREN = LabelActivity("siren", Counter({22: 5, 23: 3, 4: 1}))
DOG = LabelActivity("dog", Counter({3: 1}))


def summary(
    labels: Sequence[LabelActivity], sites: Sequence[SiteActivity], by_clips: bool = False
) -> str:
    return period_summary.summary(Activity((*labels,), (*sites,), (), ()), by_clips)


def at(site: str, **labels: int) -> SiteActivity:
    return SiteActivity(site, Counter(labels))


def test_the_commonest_label_has_its_number_its_place_and_its_hour() -> None:
    assert (
        summary([SIREN], [at("mic01", siren=6), at("mic02", siren=3)])
        == "siren in 9 recordings, 6 of them at mic01, most at 22 h."
    )


def test_what_all_of_them_share_is_said_of_all() -> None:
    assert summary([DOG], [at("mic02", dog=1)]) == "dog in 1 recording, at mic02, at 3 h."


def test_no_place_and_no_hour_is_named_where_none_has_more_than_the_others() -> None:
    even = LabelActivity("dog", Counter({3: 2, 4: 2}))
    assert summary([even], [at("mic01", dog=2), at("mic02", dog=2)]) == "dog in 4 recordings."


def test_where_paths_name_no_place_there_is_none() -> None:
    assert summary([SIREN, DOG], []) == (
        "siren in 9 recordings, most at 22 h; dog in 1 recording, at 3 h."
    )


def test_of_many_labels_the_rarer_ones_are_counted() -> None:
    many = [SIREN, *(LabelActivity(f"bird-{at}", Counter({at: 1})) for at in range(4))]
    assert summary(many, []).endswith("; bird-1 in 1 recording, at 1 h; 2 further labels.")


def test_of_nothing_nothing_is_said() -> None:
    assert summary([], []) == ""


def test_of_clips_it_says_how_often() -> None:
    assert summary([SIREN, DOG], [at("mic01", siren=6), at("mic02", siren=3)], by_clips=True) == (
        "siren 9 times, 6 of them at mic01, most at 22 h; dog 1 time, at 3 h."
    )
