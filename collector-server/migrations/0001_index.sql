-- Times ending in _s are seconds, in _ns nanoseconds since 1970 (UTC); ids their text, digests 64 hex digits.
-- Envelopes and receipts are kept as they were received or made.

CREATE TABLE agents (
    id TEXT PRIMARY KEY NOT NULL,
    host TEXT NOT NULL,
    hostname TEXT NOT NULL,
    os TEXT NOT NULL,
    arch TEXT NOT NULL,
    system TEXT NOT NULL,
    agent_version TEXT NOT NULL,
    agency TEXT NOT NULL,
    labels TEXT NOT NULL, -- JSON
    token TEXT NOT NULL,
    enrolled_ns INTEGER NOT NULL,
    enrolment TEXT, -- the receipt; none until the leaf is in the log
    last_seen_ns INTEGER,
    revoked_ns INTEGER, -- seals count no more from then on; the agent is refused at once
    revocation TEXT
) STRICT;
CREATE INDEX agents_by_agency ON agents (agency);

-- Every seal key that an agent had; the newest is the one in use.
CREATE TABLE seals (
    number INTEGER PRIMARY KEY,
    agent TEXT NOT NULL REFERENCES agents (id),
    key_sha256 TEXT NOT NULL,
    chain TEXT NOT NULL
) STRICT;
CREATE INDEX seals_by_agent ON seals (agent, number);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY NOT NULL,
    used INTEGER NOT NULL
) STRICT;

CREATE TABLE orders (
    id TEXT PRIMARY KEY NOT NULL,
    sha256 TEXT NOT NULL UNIQUE,
    envelope TEXT NOT NULL,
    requester TEXT NOT NULL,
    reference TEXT NOT NULL, -- the case
    submitted_ns INTEGER NOT NULL,
    begins_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL,
    open INTEGER NOT NULL,
    revision INTEGER NOT NULL DEFAULT 1
) STRICT;

-- state: waiting, running, delivered, refused. answered: the agent has accepted or refused it.
CREATE TABLE order_hosts (
    order_id TEXT NOT NULL REFERENCES orders (id),
    agent TEXT NOT NULL REFERENCES agents (id),
    proof TEXT, -- JSON; none where the host joined by the expression
    state TEXT NOT NULL DEFAULT 'waiting',
    answered INTEGER NOT NULL DEFAULT 0,
    collection TEXT,
    progress TEXT, -- JSON
    refusal TEXT,
    ended_early TEXT,
    PRIMARY KEY (order_id, agent)
) STRICT;
CREATE INDEX order_hosts_by_agent ON order_hosts (agent, answered);

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
CREATE INDEX uploads_by_collection ON uploads (collection);

CREATE TABLE collections (
    id TEXT PRIMARY KEY NOT NULL,
    agent TEXT NOT NULL REFERENCES agents (id),
    order_id TEXT REFERENCES orders (id),
    begun_ns INTEGER NOT NULL,
    complete INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX collections_by_order ON collections (order_id);

CREATE TABLE parts (
    collection TEXT NOT NULL REFERENCES collections (id),
    part INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    statement BLOB NOT NULL,
    plain_sha256 TEXT NOT NULL,
    previous_plain TEXT,
    previous_stored TEXT,
    last INTEGER NOT NULL,
    received_ns INTEGER NOT NULL,
    receipt TEXT NOT NULL,
    tsr BLOB,
    quarantined INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (collection, part, sha256)
) STRICT;
CREATE INDEX parts_without_stamp ON parts (received_ns) WHERE tsr IS NULL;

-- What each leaf of the custody log is about, so that none is written twice.
CREATE TABLE leaves (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE
) STRICT;

-- The last checkpoints that were signed: the log must continue them.
CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL
) STRICT;

-- Policies that were in force, so that no older one comes back.
CREATE TABLE policies (
    version INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL
) STRICT;
