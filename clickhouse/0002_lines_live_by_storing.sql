-- Lines live by the clock of the store, as all other rows do, and not by the arrival that their
-- sender states: with the clock of a laptop that is years behind, what it replays would expire at
-- once. The days of retention and the TTL itself follow at each start (policies/retention.yaml).
-- Rows from before this migration count as stored when ClickHouse next writes them.
ALTER TABLE logs.raw
    ADD COLUMN IF NOT EXISTS stored_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC');
