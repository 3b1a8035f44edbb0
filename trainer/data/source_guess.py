"""Which files seem to come from one recording or recorder, by their names.

Only a guess, and a cautious one: it warns where no group column says what belongs together.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DATE = r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
TIMESTAMP = rf"{DATE}[T_-]?(?:[01]\d|2[0-3])[0-5]\d[0-5]\d"
DAY = re.compile(r"(?:19|20)\d\d[-_]?(?:0[1-9]|1[0-2])[-_]?(?:0[1-9]|[12]\d|3[01])")
SCORE = r"(?:[01]\.\d+_(?:\d+_)?)?"  # BirdNET puts its confidence before the name of a segment
NUMBER = r"(?:part|slice|seg|segment|chunk|clip|cut)?[-_ ]?\(?\d{1,6}(?:\.\d+)?s?\)?"
MIN_NUMBERED_SOURCES = 3  # "indoor_01" and "outdoor_01" name kinds, not recordings


class Convention(NamedTuple):
    """How names are built: `pattern` matches a whole name without its suffix, or the part of it
    that does not repeat the label, and finds the `source`; without such a part it is the folder.

    `numbered` ones may mean nothing, since whoever names files numbers them.
    """

    what: str
    pattern: str
    numbered: bool = False


CONVENTIONS = (
    # ESC-50: fold-recording-take-class
    Convention("recording", r"\d-(?P<source>\d{3,})-[A-Z](?:-\d+)?"),
    # UrbanSound8K: recording-class-occurrence-slice
    Convention("recording", r"(?P<source>\d{3,})-\d-\d+-\d+"),
    # Speech Commands: speaker_nohash_take
    Convention("speaker", r"(?P<source>[0-9a-f]{8})_nohash_\d+"),
    # Xeno-canto
    Convention("recording", r"(?i:(?P<source>XC\d{4,})(?!\d).*)"),
    # Recorders that write their name before the time
    Convention("recorder", rf"{SCORE}(?P<source>.*?[^\W_])[-_ ]+{TIMESTAMP}(?!\d).*"),
    # Recorders that write the time only, each into a folder of its own
    Convention("recorder", rf"{SCORE}{TIMESTAMP}(?!\d).*"),
    # Parts of one recording that began at that time
    Convention("recording", rf"{SCORE}(?P<source>.*{TIMESTAMP})\D.+"),
    # Takes and slices with a running number, or with start and end
    Convention("recording", rf"(?P<source>.*\w)[-_ .]+{NUMBER}", numbered=True),
    Convention("recording", rf"(?P<source>.*?\w)(?:[-_ .]+{NUMBER}){{2}}", numbered=True),
)


class SharedSources(NamedTuple):
    """For each file its source, None where its name tells none; `what` a source is."""

    what: str
    sources: tuple[str | None, ...]


def shared_sources(paths: Sequence[Path], labels: Sequence[str]) -> SharedSources | None:
    """The first convention that divides these files into sources, some with several files.

    None where no convention does.
    """
    stems = [_without_label(path.stem, label) for path, label in zip(paths, labels, strict=True)]
    for convention in CONVENTIONS:
        sources = [
            _source(convention, stem, path, label)
            for stem, path, label in zip(stems, paths, labels, strict=True)
        ]
        sizes = Counter(source for source in sources if source is not None)
        tells_apart = len(sizes) > 1 and max(sizes.values()) > 1
        if tells_apart and (
            not convention.numbered or _is_more_than_a_count(sizes, sources, labels)
        ):
            return SharedSources(convention.what, tuple(sources))
    return None


def _without_label(stem: str, label: str) -> str:
    """ "dog_take1_03" of the label dog -> "take1_03"."""
    words = r"[-_ ]*".join(re.escape(word) for word in re.split(r"[-_ ]+", label) if word)
    return re.sub(rf"^{words}[-_ ]+|[-_ ]+{words}$", "", stem, flags=re.IGNORECASE)


def _source(convention: Convention, stem: str, path: Path, label: str) -> str | None:
    """What the convention finds in the stem without the label, else in the whole one."""
    pattern = convention.pattern
    found = re.fullmatch(pattern, stem) or re.fullmatch(pattern, path.stem)
    if found is None or (convention.numbered and DAY.match(path.stem)):
        return None
    source = found.groupdict().get("source", str(path.parent))
    plain = [re.sub(r"[-_ ]+", "", name).casefold() for name in (Path(source).name, label)]
    return None if plain[0] == plain[1] else source


def _is_more_than_a_count(
    sizes: Counter[str], sources: Sequence[str | None], labels: Sequence[str]
) -> bool:
    """Most files have a relative, and most labels several sources: no mere numbers in a class."""
    related = sum(size for size in sizes.values() if size > 1)
    sources_of: dict[str, set[str | None]] = defaultdict(set)
    for label, source in zip(labels, sources, strict=True):
        sources_of[label].add(source)
    divided = sum(len(found - {None}) > 1 for found in sources_of.values())
    return (
        len(sizes) >= MIN_NUMBERED_SOURCES
        and 2 * related > len(sources)
        and 2 * divided > len(sources_of)
    )
