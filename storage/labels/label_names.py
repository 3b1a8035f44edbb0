"""What may be the name of a label, or of a group: one rule, however people give it."""

from __future__ import annotations

import unicodedata

from storage.values.decision import NONE, labels_in, written

# Longer than any species with its subspecies and author; what is longer is a comment, or a file.
MAX_LABEL_CHARACTERS = 200
SHOWN_CHARACTERS = 40  # of a name that is refused
JOINERS = "\u200c\u200d"  # Persian, Indic scripts and emoji are written with them
# Categories of controls, directions, halves of characters, line breaks.
INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
SPREADSHEET_ERRORS = ("#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!")


def read_label(text: str) -> str:
    """The label as it is to be compared (see `read_name`). Raises ValueError with the reason."""
    if len(text) > MAX_LABEL_CHARACTERS:
        raise ValueError(
            f"{text[:SHOWN_CHARACTERS]!r}... has {len(text)} characters;"
            f" a label has {MAX_LABEL_CHARACTERS} at most"
        )
    return read_name(text)


def read_labels(text: str) -> str:
    """One label, or several between semicolons: in alphabetical order, each once.

    Raises ValueError with the reason.
    """
    names = [read_label(label) for label in labels_in(text)] or [read_label(text)]
    if NONE in names and len({*names}) > 1:
        raise ValueError(f"{text!r} says that there is something, and `none`; keep one")
    return written(names)


def read_name(text: str) -> str:
    """A name in any script, as it is to be compared: NFC, one plain space between words.

    What looks the same must be the same. "é" is one character or two, as its keyboard will have
    it, and a space may be one that does not break. Raises ValueError with the reason.
    """
    if any(unicodedata.category(char) in INVISIBLE and char not in JOINERS for char in text):
        shown = f"{text[:SHOWN_CHARACTERS]!r}{'...' * (len(text) > SHOWN_CHARACTERS)}"
        raise ValueError(f"{shown} holds a line break or a control character")
    if text in SPREADSHEET_ERRORS:
        raise ValueError(f"{text!r} is an error of the spreadsheet")
    if not text.strip().strip(JOINERS):
        raise ValueError("it is empty")
    return unicodedata.normalize("NFC", " ".join(text.split()))
