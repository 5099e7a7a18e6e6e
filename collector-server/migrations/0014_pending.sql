-- Hosts that a token holds for approval, by their seal keys. Whoever is not decided on is forgotten with the token; what an
-- admin said stays. A word counts once its leaf is in the log, that is, with the receipt.
CREATE TABLE pending (
    seal_key TEXT PRIMARY KEY NOT NULL,
    token TEXT NOT NULL,
    agency TEXT NOT NULL,
    labels TEXT NOT NULL,
    host TEXT NOT NULL,
    facts TEXT NOT NULL, -- the host's own words (JSON)
    address TEXT NOT NULL,
    since_ns INTEGER NOT NULL,
    asked_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL,
    verdict TEXT, -- approved, rejected
    envelope TEXT,
    receipt TEXT
) STRICT;
CREATE INDEX pending_undecided ON pending (agency, since_ns) WHERE envelope IS NULL;
CREATE INDEX pending_by_token ON pending (token) WHERE envelope IS NULL;

-- Who asks again with the same seal key is the same agent.
CREATE INDEX seals_by_key ON seals (key_sha256);
