-- Orders whose time is up are looked for every few seconds.
CREATE INDEX orders_not_lapsed ON orders (expires_ns) WHERE expiry_told = 0;
