-- What the agent last said of itself (JSON), and when.
ALTER TABLE agents ADD COLUMN health TEXT;
ALTER TABLE agents ADD COLUMN health_ns INTEGER;
