"""The ledger's tables. Constraints live here, so that no caller can break a promise.

Times are text (see `timestamps.stamp`), digests SHA-256 in hex, paths the bytes the file system
knows, each with a printable twin.
"""

from __future__ import annotations

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.types import TypeEngine

# The newest migration; revisions are zero-padded numbers, so that they compare as text.
SCHEMA_VERSION = "0012"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Real: TypeEngine[float] = Double().with_variant(REAL(), "sqlite")
Whole: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")

inbox = Table(
    "inbox",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("path", LargeBinary, nullable=False),  # of a shared one: where it was seen first
    Column("path_text", Text, nullable=False),
    Column("mount_point", LargeBinary),  # of the file system it was last found on
    # Whose path that is: `host:` and a machine, or `shared:` and a name; empty: the only machine's.
    Column("place", Text, nullable=False, server_default=""),
    Column("scanned_by", Whole),  # a lease
    UniqueConstraint("place", "path").ddl_if(dialect="sqlite"),
    sqlite_strict=True,
)

# A start of a daemon. What it claims is its own until the lease is over: its id is the fencing
# token. Rows stay, since answers name them.
lease = Table(
    "lease",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("machine", Text, nullable=False),  # with the home: who the daemon is, over its starts
    Column("host", Text, nullable=False),
    Column("home", Text, nullable=False),
    Column("pid", Whole, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("seconds", Real),  # NULL: of the only daemon of a ledger, and never over
    Column("lease_until", Real),  # seconds since 1970 by the server's clock
    Column("lost_at", Text),  # others have its work
    Column("ended_at", Text),
    Column("checkpoint_digest", Text),
    Column("status", Text, nullable=False, server_default="{}"),  # JSON, as of the last beat
    sqlite_strict=True,
    sqlite_autoincrement=True,
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("labels", Text, nullable=False),  # JSON list, in the order of the scores
    Column("clip_seconds", Real),
    Column("facts", Text, nullable=False),  # JSON object
    Column("verdict", Text, nullable=False),
    Column("reason", Text),
    Column("seen_at", Text, nullable=False),
    Column("task", Text, nullable=False, server_default=text("'single'")),
    Column("thresholds", Text),  # JSON object, label to probability; NULL: it has none
    # Whether each of its answers may tell the label it is stored with and no other, so that the
    # tallies know what is told.
    Column("one_label", Whole, nullable=False, server_default=text("1")),
    CheckConstraint("verdict IN ('accepted', 'refused')", name="verdict"),
    sqlite_strict=True,
)

recording = Table(
    "recording",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("inbox_id", ForeignKey("inbox.id"), nullable=False),
    Column("path", LargeBinary, nullable=False),  # relative to the inbox
    Column("path_text", Text, nullable=False),
    # What `stat` said of the content; empty: at rest until a scan admits what lies there now.
    Column("fingerprint", Text, nullable=False),
    Column("size_bytes", Whole, nullable=False),
    Column("digest", Text),  # NULL: provisional, nobody has read the content yet
    Column("state", Text, nullable=False),
    Column("attempts", Whole, nullable=False, server_default=text("0")),
    Column("claimed_by", Text),
    Column("claimed_at", Text),
    Column("requeued", Text),
    Column("requeued_at", Text),
    Column("error_class", Text),
    Column("error", Text),
    Column("warning", Text),
    Column("duration_s", Real),
    Column("sample_rate_hz", Whole),
    Column("channels", Whole),
    # The current answer; a duplicate shares that of another recording.
    Column("prediction_id", ForeignKey("prediction.id", use_alter=True)),
    Column("first_seen_at", Text, nullable=False),
    Column("answered_at", Text),
    Column("retry_after", Text),  # of a postponed recording
    # Where the file goes, or went once `archived_at` says so; absolute.
    Column("archive_path", LargeBinary),
    Column("archive_path_text", Text),
    Column("archived_at", Text),
    # Copied from the current answer, so that indexes know state, time and answer together.
    Column("label", Text),
    Column("confidence", Real),
    Column("checkpoint_id", Whole),
    # As the recorder's clock showed it, or with Z (see `recorder_time`).
    Column("recorded_at", Text),
    Column("rms_dbfs", Real),
    Column("peak_dbfs", Real),
    Column("clipped", Real),  # share of the samples
    # Of the current answer: rises with each, whatever the clock does. NULL: answered by a version
    # that gave none.
    Column("answer_number", Whole),
    Column("recorder", Text),  # what the file says of it, as JSON
    Column("answered_by", Whole),  # a lease; NULL: by a version that had none, or by an import
    CheckConstraint("state IN ('pending', 'done', 'failed', 'superseded')", name="state"),
    CheckConstraint("requeued IN ('retry', 'rescore')", name="requeued"),
    CheckConstraint(
        "state <> 'done' OR (prediction_id IS NOT NULL AND digest IS NOT NULL)", name="done"
    ),
    CheckConstraint("state <> 'failed' OR error IS NOT NULL", name="failed"),
    UniqueConstraint("inbox_id", "path", "digest").ddl_if(dialect="sqlite"),
    sqlite_strict=True,
    sqlite_autoincrement=True,  # a late outcome never meets another recording under its id
)

# Of recordings by inbox and path; SQLite names it after the table's first constraint.
PATH_INDEX = "sqlite_autoindex_recording_1"

# The newest number that was given. It never falls, as the largest one there is does when its row
# is pruned. Whoever answers holds its row until the commit, so numbers come to light in order.
answer_counter = Table(
    "answer_counter",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("newest", Whole, nullable=False),
    CheckConstraint("id = 1", name="single"),
    sqlite_strict=True,
)

prediction = Table(
    "prediction",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("recording_id", ForeignKey("recording.id", ondelete="CASCADE"), nullable=False),
    Column("checkpoint_id", ForeignKey("checkpoint.id"), nullable=False),
    Column("label", Text, nullable=False),
    Column("confidence", Real, nullable=False),
    Column("scores", LargeBinary, nullable=False),  # float32 little-endian, (L,)
    Column("clip_scores", LargeBinary, nullable=False),  # float16 little-endian, (C, L)
    Column("clip_seconds", Real, nullable=False),
    Column("clip_hop_seconds", Real, nullable=False),
    Column("classified_at", Text, nullable=False),
    # The settings that decide scores (see `EngineSettings.scoring`). NULL: not noted then.
    Column("scoring", Text),
    Column("novelty", Real),  # 0 to 1; NULL: its checkpoint does not know
    UniqueConstraint("recording_id", "checkpoint_id"),
    sqlite_strict=True,
)

# What the last layer reads of each clip, where `engine.embeddings` has it kept. In a table of its
# own, so that predictions stay as close together as without.
embedding = Table(
    "embedding",
    metadata,
    Column("prediction_id", ForeignKey("prediction.id", ondelete="CASCADE"), primary_key=True),
    Column("features", LargeBinary, nullable=False),  # float16 little-endian, (C, D)
    sqlite_strict=True,
)

# The labels that a prediction may tell (see `storage.values.findings`).
finding = Table(
    "finding",
    metadata,
    Column("prediction_id", ForeignKey("prediction.id", ondelete="CASCADE"), nullable=False),
    Column("label", Text, nullable=False),
    Column("probability", Real),  # by which it is told; NULL: a label of clips only
    Column("first_clip", Whole, nullable=False),
    Column("last_clip", Whole, nullable=False),
    PrimaryKeyConstraint("prediction_id", "label"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# The findings of current answers, copied so that one index knows label, time and probability.
# No key leads from it to the recordings: the rows of one are found by its label and time.
recording_label = Table(
    "recording_label",
    metadata,
    Column("label", Text, nullable=False),
    Column("answered_at", Text, nullable=False),
    Column("recording_id", Whole, nullable=False),
    Column("probability", Real),
    Column("checkpoint_id", Whole, nullable=False),
    PrimaryKeyConstraint("label", "answered_at", "recording_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# What a person says that a sound is. It belongs to the content, whatever the file is called, and
# to a part of it, or all of it: from 0 to 0.
human_label = Table(
    "human_label",
    metadata,
    Column("digest", Text, nullable=False),
    Column("start_s", Real, nullable=False),
    Column("end_s", Real, nullable=False),
    Column("label", Text, nullable=False),  # or several, as `a;b`, in alphabetical order
    Column("group_name", Text),  # relatives that no split may part, as the person named them
    Column("origin", Text, nullable=False),  # the file it was imported from, or `set`
    Column("labelled_at", Text, nullable=False),
    Column("author", Text),  # NULL: labelled by a version that did not ask
    Column("way", Text),  # how the author came to it, see `label_event`
    PrimaryKeyConstraint("digest", "start_s", "end_s"),
    CheckConstraint("label <> ''", name="label"),
    CheckConstraint("start_s >= 0 AND (end_s > start_s OR end_s = 0)", name="part"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# What else people say of a sound: that it is not of a label, or that they are unsure (no label).
label_mark = Table(
    "label_mark",
    metadata,
    Column("digest", Text, nullable=False),
    Column("start_s", Real, nullable=False),
    Column("end_s", Real, nullable=False),
    Column("kind", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("way", Text, nullable=False),
    Column("marked_at", Text, nullable=False),
    PrimaryKeyConstraint("digest", "start_s", "end_s", "kind", "label"),
    CheckConstraint("kind IN ('not', 'unsure')", name="kind"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# All that people said, in its order: labels and marks follow from it, and can go back.
label_event = Table(
    "label_event",
    metadata,
    Column("number", Whole, primary_key=True),
    Column("id", Text, nullable=False),  # by who made it: said twice, it is the same event
    Column("act", Text, nullable=False),  # events that were one act, and are undone together
    Column("digest", Text, nullable=False),
    Column("start_s", Real, nullable=False),
    Column("end_s", Real, nullable=False),
    Column("say", Text, nullable=False),
    Column("label", Text),
    Column("author", Text, nullable=False),
    Column("way", Text, nullable=False),  # listened, looked, verified, bulk, command or imported
    Column("made_at", Text, nullable=False),
    Column("before", Text, nullable=False),  # the label and the marks that stood there, as JSON
    Column("undoes", Whole),  # the number of another event
    CheckConstraint("say IN ('label', 'not', 'unsure', 'clear', 'undo')", name="say"),
    UniqueConstraint("id"),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)

# How many recordings share these values. Written with what they count (see `tally`), so that no
# question has to count the recordings.
tally = Table(
    "tally",
    metadata,
    Column("state", Text, nullable=False),
    Column("day", Text, nullable=False),  # of the answer, else of the first sight; UTC
    Column("label", Text, nullable=False),  # empty: no answer
    Column("checkpoint_id", Whole, nullable=False),  # 0: no answer
    Column("n", Whole, nullable=False),
    PrimaryKeyConstraint("state", "day", "label", "checkpoint_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

DAY_LENGTH = len("2026-01-31")

# On PostgreSQL an entry of an index is shorter than a path may be: its beginning and a hash.
FOLDER_KEY = ("inbox_id", '"left"(folder, 600)', "hashtextextended(folder, 0)", "state")

folder_tally = Table(
    "folder_tally",
    metadata,
    Column("inbox_id", Whole, nullable=False),
    Column("folder", Text, nullable=False),  # of `path_text`; "." for the inbox itself
    Column("state", Text, nullable=False),
    Column("n", Whole, nullable=False),
    PrimaryKeyConstraint("inbox_id", "folder", "state").ddl_if(dialect="sqlite"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)


def folder_expression() -> ColumnElement[str]:
    """The folder of a recording: of its path what is left without the characters of the name."""
    path = recording.c.path_text
    above = func.rtrim(path, func.replace(path, "/", ""))
    return func.coalesce(func.nullif(func.rtrim(above, "/"), ""), ".")


is_queued = "state = 'pending' OR requeued IS NOT NULL"
is_archiving = "archive_path IS NOT NULL AND archived_at IS NULL"
