-- Retention rules and legal holds as they were signed, all of them for ever. One without a receipt is not in the log yet:
-- such a rule does nothing, such a hold keeps all the same, such a lifting lifts nothing.
CREATE TABLE retention_rules (
    sha256 TEXT PRIMARY KEY NOT NULL,
    agency TEXT NOT NULL,
    reference TEXT, -- the case; none: all cases that have no rule of their own
    version INTEGER NOT NULL,
    keep_days INTEGER, -- none: for ever
    envelope TEXT NOT NULL,
    taken_ns INTEGER NOT NULL,
    receipt TEXT
) STRICT;
CREATE UNIQUE INDEX retention_rules_by_place
    ON retention_rules (agency, COALESCE(reference, ''), version);

-- kind: case, order, host, collection.
CREATE TABLE holds (
    id TEXT PRIMARY KEY NOT NULL,
    sha256 TEXT NOT NULL,
    agency TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    envelope TEXT NOT NULL,
    placed_ns INTEGER NOT NULL,
    receipt TEXT,
    lift TEXT, -- the envelope of the lifting
    lifted_ns INTEGER,
    lift_receipt TEXT
) STRICT;
CREATE INDEX holds_by_subject ON holds (subject, kind);

-- From when on the parts of a collection are no longer handed out, by which rule, and the receipts of the leaves (JSON)
-- once they are in the log.
ALTER TABLE collections ADD COLUMN expired_ns INTEGER;
ALTER TABLE collections ADD COLUMN expired_rule TEXT;
ALTER TABLE collections ADD COLUMN expiry_receipts TEXT;
-- Whether the ciphertext is deleted.
ALTER TABLE parts ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
CREATE INDEX parts_by_digest ON parts (sha256);
CREATE INDEX collections_expiring ON collections (id) WHERE expired_ns IS NOT NULL;

-- When what is due was last looked for: a clock far ahead of that is not believed.
CREATE TABLE expiry_runs (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    ran_ns INTEGER NOT NULL
) STRICT;

CREATE VIEW rules_in_force AS
    SELECT sha256, agency, reference, version, keep_days, taken_ns FROM retention_rules r
    WHERE receipt IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM retention_rules n WHERE n.agency = r.agency AND COALESCE(n.reference, '') = COALESCE(r.reference, '')
        AND n.version > r.version AND n.receipt IS NOT NULL);

-- What keeps each collection. Nothing was received before its order came and its host was enrolled, whatever the clock
-- said then.
CREATE VIEW fates AS
    SELECT c.id, c.agent, a.host, a.hostname, a.agency, c.order_id, o.reference, c.complete, c.expired_ns,
        MAX(COALESCE((SELECT MAX(received_ns) FROM parts WHERE collection = c.id), c.begun_ns), c.begun_ns,
            a.enrolled_ns, COALESCE(o.submitted_ns, 0)) AS received_ns,
        EXISTS (SELECT 1 FROM uploads u WHERE u.collection = c.id AND u.kept = 0) AS uploading,
        COALESCE(
            (SELECT sha256 FROM rules_in_force f WHERE f.agency = a.agency AND f.reference = o.reference),
            (SELECT sha256 FROM rules_in_force f WHERE f.agency = a.agency AND f.reference IS NULL)) AS rule
    FROM collections c JOIN agents a ON a.id = c.agent LEFT JOIN orders o ON o.id = c.order_id;

-- Which hold keeps which collection.
CREATE VIEW kept_by AS
    SELECT f.id AS collection, h.id AS hold, h.lift_receipt FROM holds h JOIN fates f ON f.agency = h.agency
    AND (h.kind = 'collection' AND h.subject = f.id OR h.kind = 'order' AND h.subject = f.order_id
        OR h.kind = 'host' AND h.subject = f.host OR h.kind = 'case' AND h.subject = f.reference);
