-- How an order goes on making collections, by the state of a host that holds it: standing, watching; none of one that
-- makes one.
ALTER TABLE orders ADD COLUMN recurrence TEXT;
-- How many captures the host has reported, when the newest, and why no more come, where that is before the order's end.
ALTER TABLE order_hosts ADD COLUMN captures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE order_hosts ADD COLUMN captured_ns INTEGER;
ALTER TABLE order_hosts ADD COLUMN over_why TEXT;
