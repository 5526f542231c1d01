-- What an incident is an occurrence of. Empty, 0 and null for incidents that a person reported, and
-- for those of a former release.
ALTER TABLE aiops.incidents
    ADD COLUMN IF NOT EXISTS problem_id String DEFAULT '',
    ADD COLUMN IF NOT EXISTS occurrence UInt32 DEFAULT 0,
    ADD COLUMN IF NOT EXISTS cadence String DEFAULT '',
    ADD COLUMN IF NOT EXISTS quiet_since Nullable(DateTime64(6, 'UTC')) DEFAULT NULL;

-- Each time that a problem came: the problem and number that correlation-service named, within one
-- incident. ended is null while it lasts; version is that of the incident. Its rows are written
-- before those of aiops.incidents: an incident that is stored lacks no occurrence.
CREATE TABLE IF NOT EXISTS aiops.problem_occurrences
(
    problem_id String,
    incident_id String,
    occurrence UInt32,
    ship_id LowCardinality(String),
    began DateTime64(6, 'UTC'),
    ended Nullable(DateTime64(6, 'UTC')),
    ending String,
    note String CODEC(ZSTD(1)),
    severity LowCardinality(String),
    devices UInt32,
    version UInt64,
    stored_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (problem_id, incident_id, occurrence)
TTL toDateTime(stored_at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 1000,
    min_free_disk_bytes_to_perform_insert = 67108864;

-- Problems that persons have merged and split. body is the ProblemEdited as JSON; change counts the
-- edits of one problem. Rows of occurrences stay as they are: whose they are is found when they are
-- read.
CREATE TABLE IF NOT EXISTS aiops.problem_edits
(
    problem_id String,
    change UInt32,
    ts DateTime64(6, 'UTC'),
    body String CODEC(ZSTD(1)),
    stored_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (problem_id, change)
TTL toDateTime(stored_at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 1000,
    min_free_disk_bytes_to_perform_insert = 67108864;
