-- Each agent that asks looks for open orders that it may join.
CREATE INDEX orders_open ON orders (expires_ns) WHERE open = 1;
DROP INDEX orders_cancelled;
