-- When the agent's identity was met on two machines; which identity it came from, where it was forked.
ALTER TABLE agents ADD COLUMN cloned_ns INTEGER;
ALTER TABLE agents ADD COLUMN forked_from TEXT REFERENCES agents (id);
CREATE INDEX agents_by_origin ON agents (forked_from) WHERE forked_from IS NOT NULL;
-- When an admin removed the host, and why.
ALTER TABLE agents ADD COLUMN removed_ns INTEGER;
ALTER TABLE agents ADD COLUMN removal_reason TEXT;

-- The last starts of each agent, by the id that it made for each; the newest has the highest number. asked_late: how
-- often one asked after another had taken its place.
CREATE TABLE instances (
    number INTEGER PRIMARY KEY,
    agent TEXT NOT NULL REFERENCES agents (id),
    instance TEXT NOT NULL,
    asked_late INTEGER NOT NULL DEFAULT 0,
    UNIQUE (agent, instance)
) STRICT;
CREATE INDEX instances_by_agent ON instances (agent, number);
