-- The envelope of an order's cancellation, and which hosts have said that they keep it.
ALTER TABLE orders ADD COLUMN cancel TEXT;
ALTER TABLE order_hosts ADD COLUMN cancel_held INTEGER NOT NULL DEFAULT 0;
CREATE INDEX orders_cancelled ON orders (id) WHERE cancel IS NOT NULL;
