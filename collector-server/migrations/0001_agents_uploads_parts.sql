-- Times are seconds since 1970 (UTC), ids their text, digests 64 hex digits.
CREATE TABLE agents (
    id TEXT PRIMARY KEY NOT NULL,
    enrolled_s INTEGER NOT NULL,
    revoked_s INTEGER
) STRICT;

-- Only what is still on its way. The offset is what was synced to disk, never more.
CREATE TABLE uploads (
    id TEXT PRIMARY KEY NOT NULL,
    agent TEXT NOT NULL REFERENCES agents (id),
    collection TEXT NOT NULL,
    part INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    statement BLOB NOT NULL,
    length_bytes INTEGER NOT NULL,
    offset_bytes INTEGER NOT NULL DEFAULT 0,
    expires_s INTEGER NOT NULL,
    kept INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX uploads_by_agent ON uploads (agent, kept);

CREATE TABLE parts (
    collection TEXT NOT NULL,
    part INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    agent TEXT NOT NULL REFERENCES agents (id),
    size_bytes INTEGER NOT NULL,
    statement BLOB NOT NULL,
    received_s INTEGER NOT NULL,
    PRIMARY KEY (collection, part, sha256)
) STRICT;
