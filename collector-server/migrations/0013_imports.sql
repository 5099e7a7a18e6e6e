-- The host on which a kit made the collection: its agent is the kit's and no host's.
ALTER TABLE collections ADD COLUMN host TEXT;
ALTER TABLE collections ADD COLUMN hostname TEXT;

-- What came by hand: the use of the kit as it was signed, and who brought it (JSON, as its digest stands in the leaf).
CREATE TABLE imports (
    collection TEXT PRIMARY KEY NOT NULL REFERENCES collections (id),
    use_envelope TEXT NOT NULL,
    record TEXT NOT NULL,
    receipt TEXT -- none until the leaf is in the log
) STRICT;

-- As before, but that a kit's collection is of the host on which it was made.
DROP VIEW kept_by;
DROP VIEW fates;
CREATE VIEW fates AS
    SELECT c.id, c.agent, COALESCE(c.host, a.host) AS host, COALESCE(c.hostname, a.hostname) AS hostname, a.agency,
        c.order_id, o.reference, c.complete, c.expired_ns,
        MAX(COALESCE((SELECT MAX(received_ns) FROM parts WHERE collection = c.id), c.begun_ns), c.begun_ns,
            a.enrolled_ns, COALESCE(o.submitted_ns, 0)) AS received_ns,
        EXISTS (SELECT 1 FROM uploads u WHERE u.collection = c.id AND u.kept = 0) AS uploading,
        COALESCE(
            (SELECT sha256 FROM rules_in_force f WHERE f.agency = a.agency AND f.reference = o.reference),
            (SELECT sha256 FROM rules_in_force f WHERE f.agency = a.agency AND f.reference IS NULL)) AS rule
    FROM collections c JOIN agents a ON a.id = c.agent LEFT JOIN orders o ON o.id = c.order_id;
CREATE VIEW kept_by AS
    SELECT f.id AS collection, h.id AS hold, h.lift_receipt FROM holds h JOIN fates f ON f.agency = h.agency
    AND (h.kind = 'collection' AND h.subject = f.id OR h.kind = 'order' AND h.subject = f.order_id
        OR h.kind = 'host' AND h.subject = f.host OR h.kind = 'case' AND h.subject = f.reference);
