-- Pieces of the live logs of running collections, encrypted to the order's recipients: passing, and no evidence. The
-- number is never given twice, so that a stream can go on after it.
CREATE TABLE log_pieces (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id TEXT NOT NULL REFERENCES orders (id),
    agent TEXT NOT NULL REFERENCES agents (id),
    collection TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    piece INTEGER NOT NULL,
    envelope TEXT NOT NULL,
    content BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    received_ns INTEGER NOT NULL,
    UNIQUE (agent, collection, attempt, piece)
) STRICT;
CREATE INDEX log_pieces_by_order ON log_pieces (order_id, number);
-- A leaf may speak of a collection of which no part has come yet.
CREATE INDEX order_hosts_by_collection ON order_hosts (collection) WHERE collection IS NOT NULL;
