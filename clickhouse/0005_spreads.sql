-- The spread of the newest occurrence within an incident: problems of one kind on several devices have
-- the same. Empty for incidents that a person reported, and for those of a former release.
ALTER TABLE aiops.incidents ADD COLUMN IF NOT EXISTS spread String DEFAULT '';
