-- The kit that seals by this identity, where it is no host's: nobody asks for orders by it.
ALTER TABLE agents ADD COLUMN kit TEXT;
CREATE UNIQUE INDEX agents_by_kit ON agents (kit) WHERE kit IS NOT NULL;
