"""The layout of a gallery's database: its tables, how a file is known to be one, and how an older one is brought on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duskmatch.errors import GalleryError

if TYPE_CHECKING:
    import apsw

APPLICATION_ID = 0x6475736B  # "dusk", in the header of the file
VERSION = 2
PAGE_BYTES = 16384  # seven vectors of 512 numbers to a page; 4096 would hold one and waste half of it

# Of layout 2. calibration: what turns this gallery's similarities into probabilities. people, members: who the entries
# are linked to, with the reasons as JSON, in which entries are rows. linking: a number that rises with each
# change of who is linked. decisions, decided: a person's word on names and on pairs of entries, which each
# run obeys; moved, renamed: what a decision has changed, to undo it.
SINCE_2 = {
    "calibration": """CREATE TABLE calibration (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  document TEXT NOT NULL
) STRICT""",
    "people": """CREATE TABLE people (
  person INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL
) STRICT""",
    "members": """CREATE TABLE members (
  row INTEGER PRIMARY KEY,
  person INTEGER NOT NULL,
  reasons TEXT NOT NULL
) STRICT""",
    "linking": """CREATE TABLE linking (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  changes INTEGER NOT NULL
) STRICT""",
    "decisions": """CREATE TABLE decisions (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  made_s REAL NOT NULL
) STRICT""",
    "decided": """CREATE TABLE decided (
  number INTEGER NOT NULL,
  row INTEGER NOT NULL,
  other INTEGER NOT NULL,
  same INTEGER NOT NULL,
  PRIMARY KEY (number, row, other)
) STRICT""",
    "moved": """CREATE TABLE moved (
  number INTEGER NOT NULL,
  row INTEGER NOT NULL,
  person INTEGER,
  reasons TEXT NOT NULL,
  into_person INTEGER NOT NULL,
  PRIMARY KEY (number, row)
) STRICT""",
    "renamed": """CREATE TABLE renamed (
  number INTEGER NOT NULL,
  person INTEGER NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (number, person)
) STRICT""",
}

# row: never used twice, so it tells what is new. deletions: rows that are gone, in order, so that each process learns
# of them. Vectors lie apart from facts: lists and retention read facts alone.
TABLES = {
    "gallery": """CREATE TABLE gallery (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  width INTEGER NOT NULL,
  normalisation TEXT NOT NULL,
  model TEXT,
  created_s REAL NOT NULL,
  erasure_pending INTEGER NOT NULL DEFAULT 0
) STRICT""",
    "entries": """CREATE TABLE entries (
  row INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  tracklet TEXT NOT NULL,
  source TEXT NOT NULL,
  camera INTEGER NOT NULL,
  modality TEXT NOT NULL,
  begin_s REAL,
  end_s REAL,
  clock TEXT NOT NULL,
  pid INTEGER NOT NULL,
  note TEXT NOT NULL,
  added_s REAL NOT NULL,
  n_thumbnails INTEGER NOT NULL,
  checksum BLOB NOT NULL
) STRICT""",
    "vectors": "CREATE TABLE vectors (row INTEGER PRIMARY KEY, vector BLOB NOT NULL) STRICT",
    "thumbnails": """CREATE TABLE thumbnails (
  row INTEGER NOT NULL,
  place INTEGER NOT NULL,
  picture BLOB NOT NULL,
  PRIMARY KEY (row, place)
) STRICT""",
    "deletions": """CREATE TABLE deletions (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  row INTEGER NOT NULL
) STRICT""",
    **SINCE_2,
}

# Version -> the statements that bring it to the next.
MIGRATIONS: dict[int, tuple[str, ...]] = {1: tuple(SINCE_2.values())}


def create(db: apsw.Connection) -> None:
    """An empty gallery's tables in an empty database; the caller holds the transaction."""
    for statement in TABLES.values():
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {VERSION}")


def check(db: apsw.Connection, name: object) -> int:
    """The layout's version; GalleryError where the file is no gallery's or of a newer duskmatch."""
    if db.pragma("application_id") != APPLICATION_ID:
        raise GalleryError(f"{name} is no gallery's database; name the folder of one, or create it")
    version = int(db.pragma("user_version"))
    if not 1 <= version <= VERSION:
        raise GalleryError(
            f"{name} has layout {version}; this duskmatch reads up to {VERSION}; use the duskmatch that wrote it"
        )
    if version == VERSION:
        check_tables(db, name)
    return version


def check_tables(db: apsw.Connection, name: object) -> None:
    """Refuses tables, triggers or views besides a gallery's own: a foreign file must not bring statements with it."""
    rows = db.execute("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite^_%' ESCAPE '^'")
    found = {str(table): sql for table, sql in rows}
    if found != TABLES:
        strange = sorted({table for table in found | TABLES if found.get(table) != TABLES.get(table)})
        raise GalleryError(f"{name} has other tables than a gallery ({', '.join(strange)}); restore a backup")


def migrate(db: apsw.Connection, version: int, name: object) -> None:
    """Brings an older layout to this one; the caller holds the transaction."""
    for older in range(version, VERSION):
        for statement in MIGRATIONS[older]:
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")
    check_tables(db, name)
