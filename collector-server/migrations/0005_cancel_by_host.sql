-- A cancellation reaches the hosts for whose agencies its signer may speak; a later one takes the place of one that no
-- host holds yet.
ALTER TABLE order_hosts ADD COLUMN cancel TEXT;
-- When the host was first handed the order: from then on it may hold it.
ALTER TABLE order_hosts ADD COLUMN handed_ns INTEGER;
ALTER TABLE orders ADD COLUMN hosts_per_minute INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN predecessor TEXT;
-- Whether those who follow were told that it expired.
ALTER TABLE orders ADD COLUMN expiry_told INTEGER NOT NULL DEFAULT 0;
