-- Where an anomaly ended is part of the key: one that was counted in two places stays two rows, and is
-- found, instead of the later row replacing the earlier one. place is the incident's id, or
-- suppressed:<rule>; it is empty in rows from before. duplicate_of is the anomaly that a duplicate repeats.

ALTER TABLE aiops.incident_members
    ADD COLUMN IF NOT EXISTS place String AFTER role,
    MODIFY ORDER BY (tracking_id, anomaly_id, place);

ALTER TABLE aiops.incident_members ADD COLUMN IF NOT EXISTS duplicate_of String AFTER place;
