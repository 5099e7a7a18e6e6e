//! The tables that are not an artifact's: what was loaded, from whom, and what was not.

/// The version of the schema. A database of another one is refused, and made again from the evidence.
pub(super) const VERSION: i64 = 3;

/// SQLite's own mark for whose file it is: `Fsea`.
pub(super) const APPLICATION: i64 = 0x4673_6561;

/// Makes them, where they are not there.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS case_info (
    name TEXT PRIMARY KEY,
    value TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hosts (
    host TEXT PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,
    hostname TEXT NOT NULL,
    os TEXT,
    os_version TEXT,
    kernel TEXT,
    arch TEXT,
    machine_id TEXT,
    agent TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
    order_id TEXT PRIMARY KEY,
    order_sha256 TEXT,
    case_reference TEXT,
    requester TEXT,
    reason TEXT,
    profile TEXT,
    expires TEXT,
    signers TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS collections (
    collection TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    order_id TEXT,
    order_sha256 TEXT,
    case_reference TEXT,
    agent TEXT,
    agent_version TEXT,
    profile TEXT,
    started TEXT,
    ended TEXT,
    boot_time TEXT,
    clock_offset_ms INTEGER,
    ended_early TEXT,
    last_part INTEGER,
    details TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    collection TEXT NOT NULL,
    part INTEGER NOT NULL,
    host TEXT NOT NULL,
    path TEXT NOT NULL,
    encrypted INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    plain_sha256 TEXT NOT NULL,
    cipher_sha256 TEXT,
    previous_sha256 TEXT,
    verdict TEXT NOT NULL,
    findings TEXT NOT NULL,
    signer_sha256 TEXT,
    signer_known INTEGER,
    sealed TEXT,
    sealed_by_word_of TEXT,
    received TEXT,
    attempt INTEGER NOT NULL,
    last INTEGER NOT NULL,
    records INTEGER NOT NULL,
    faults INTEGER NOT NULL,
    loaded TEXT NOT NULL,
    PRIMARY KEY (collection, part)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS part_rows (
    collection TEXT NOT NULL,
    part INTEGER NOT NULL,
    source TEXT NOT NULL,
    host TEXT NOT NULL,
    first_row INTEGER NOT NULL,
    last_row INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    PRIMARY KEY (collection, part, source)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS \"part_rows.by_source\" ON part_rows (source, host);
CREATE TABLE IF NOT EXISTS refused_parts (
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    collection TEXT,
    part INTEGER,
    why TEXT NOT NULL,
    time TEXT NOT NULL,
    PRIMARY KEY (path, sha256)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS load_faults (
    collection TEXT NOT NULL,
    part INTEGER NOT NULL,
    host TEXT NOT NULL,
    entry TEXT NOT NULL,
    line INTEGER NOT NULL,
    why TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (collection, part, entry, line)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tables (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    artifact TEXT NOT NULL,
    about TEXT NOT NULL,
    subject TEXT
);
CREATE TABLE IF NOT EXISTS columns (
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    field TEXT NOT NULL,
    kind TEXT NOT NULL,
    about TEXT NOT NULL,
    is_time INTEGER NOT NULL,
    PRIMARY KEY (source, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS timeline_hours (
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    hour TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (source, name, hour)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5 (text, content = '', tokenize = 'unicode61');
";

/// Rows of one table lie below this in the numbers of the search index; above it stands the table's id.
pub(super) const SEARCH_SHIFT: u32 = 40;
