-- How an order goes out: so many hosts a minute (0: all at once), and past which share of failed ones it stops by itself.
ALTER TABLE orders ADD COLUMN stop_percent INTEGER NOT NULL DEFAULT 0;
-- When enough people had signed it; each host gets it so long after that.
ALTER TABLE orders ADD COLUMN released_ns INTEGER;
ALTER TABLE order_hosts ADD COLUMN delay_ns INTEGER NOT NULL DEFAULT 0;
-- Why it stopped by itself.
ALTER TABLE orders ADD COLUMN halted TEXT;
-- The order's revision with which the whole of it, or one host, changed last.
ALTER TABLE orders ADD COLUMN whole_revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE order_hosts ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
