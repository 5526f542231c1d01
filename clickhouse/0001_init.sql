-- All tables. Statements are idempotent and end with a semicolon at the end of a line. incident-api
-- applies the numbered files in order and records each one in aiops.migrations.
--
-- Partitions and TTLs go by the time when a row arrived here, never by the time that a message
-- claims: an old log file would otherwise expire at once, and a wrong clock would open a
-- partition per line. policies/retention.yaml has the days of retention; the 30 below hold until
-- the service has read it.
--
-- With a full disk ClickHouse acknowledges an insert, or ends a merge, with empty files. So
-- inserts end earlier (code 243, after which writers wait): 64 MiB are more than others write
-- meanwhile.

CREATE DATABASE IF NOT EXISTS aiops;
CREATE DATABASE IF NOT EXISTS logs;

-- Every log line, written by Vector or `aiops replay`. A line that was sent twice becomes one row.
CREATE TABLE IF NOT EXISTS logs.raw
(
    tracking_id String,
    ship_id LowCardinality(String),
    ts DateTime64(6, 'UTC'),
    ingestion_timestamp DateTime64(6, 'UTC'),
    host String,
    device_id String,
    service LowCardinality(String),
    level LowCardinality(String),
    msg String CODEC(ZSTD(1)),
    source LowCardinality(String),
    labels Map(String, String),
    raw String CODEC(ZSTD(1)),
    INDEX by_tracking_id tracking_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(ingestion_timestamp)
ORDER BY (ship_id, ts, tracking_id)
TTL toDateTime(ingestion_timestamp) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 1000,
    min_free_disk_bytes_to_perform_insert = 67108864;

-- Anomalies as detected (version 1), replaced by the same as enriched (version 2).
CREATE TABLE IF NOT EXISTS aiops.anomalies
(
    anomaly_id String,
    tracking_id String,
    ship_id LowCardinality(String),
    ts DateTime64(6, 'UTC'),
    domain LowCardinality(String),
    anomaly_type LowCardinality(String),
    service LowCardinality(String),
    device_id String,
    host String,
    detector LowCardinality(String),
    score Float64,
    severity LowCardinality(String),
    msg String CODEC(ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    fingerprint String,
    stages Map(String, DateTime64(6, 'UTC')),
    version UInt8,
    body String CODEC(ZSTD(1)),
    stored_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    INDEX by_tracking_id tracking_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_arrival stored_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(stored_at)
ORDER BY (ship_id, ts, anomaly_id)
TTL toDateTime(stored_at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 1000,
    min_free_disk_bytes_to_perform_insert = 67108864;

-- One row per incident, the newest version counts. body is the Incident as JSON without tracking
-- ids, which are in incident_members; root_cause is JSON or empty; fold is the rest of the state
-- that incident-api needs to fold further facts into it. recorded_at is the platform's own time
-- of its creation, whatever time its log lines claim.
CREATE TABLE IF NOT EXISTS aiops.incidents
(
    id String,
    ship_id LowCardinality(String),
    status LowCardinality(String),
    severity LowCardinality(String),
    category LowCardinality(String),
    domain LowCardinality(String),
    title String,
    description String CODEC(ZSTD(1)),
    root_cause String,
    affected_services Array(String),
    affected_devices Array(String),
    fingerprint String,
    anomaly_count UInt64,
    first_seen DateTime64(6, 'UTC'),
    last_seen DateTime64(6, 'UTC'),
    created_at DateTime64(6, 'UTC'),
    updated_at DateTime64(6, 'UTC'),
    resolve_reason String,
    assignee String,
    version UInt64,
    recorded_at DateTime64(6, 'UTC'),
    insight_source LowCardinality(String),
    insight_ms Float64,
    body String CODEC(ZSTD(1)),
    fold String CODEC(ZSTD(1)),
    stored_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (ship_id, id)
TTL toDateTime(stored_at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 1000,
    min_free_disk_bytes_to_perform_insert = 67108864;

-- Where each anomaly ended: in an incident (role member or duplicate), or suppressed by a rule
-- (role suppressed, incident_id empty); a member that moved stays in its former incident with
-- role moved. body is the Evidence as JSON. latency_ms is from ingest to this row.
--
-- place is the incident's id, or suppressed:<rule>. It is part of the key: an anomaly that was
-- counted in two places stays two rows, so that the ledger finds it. duplicate_of is the anomaly
-- that a duplicate repeats. version is the sequence of the fact in its stream: of two rows about
-- one place the later fact counts, also when the earlier one is delivered again.
--
-- Many small inserts come: with merge_selector_base at 10 instead of 5 rows are rewritten half as
-- often, for some ten parts to read instead of five.
CREATE TABLE IF NOT EXISTS aiops.incident_members
(
    incident_id String,
    anomaly_id String,
    tracking_id String,
    ship_id LowCardinality(String),
    ts DateTime64(6, 'UTC'),
    role LowCardinality(String),
    place String,
    duplicate_of String,
    reason String CODEC(ZSTD(1)),
    rule LowCardinality(String),
    fingerprint String,
    device_id String,
    service LowCardinality(String),
    anomaly_type LowCardinality(String),
    severity LowCardinality(String),
    stages Map(String, DateTime64(6, 'UTC')),
    version UInt64,
    body String CODEC(ZSTD(1)),
    stored_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    latency_ms Float64 DEFAULT if(mapContains(stages, 'ingest'),
        (toUnixTimestamp64Micro(stored_at) - toUnixTimestamp64Micro(stages['ingest'])) / 1000, nan),
    INDEX by_incident incident_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_arrival stored_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(stored_at)
ORDER BY (tracking_id, anomaly_id, place)
TTL toDateTime(stored_at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 1000, merge_selector_base = 10,
    min_free_disk_bytes_to_perform_insert = 67108864;

-- One row per fact about an incident: its whole timeline. body is the fact as JSON without members.
CREATE TABLE IF NOT EXISTS aiops.incident_events
(
    event_id String,
    incident_id String,
    ts DateTime64(6, 'UTC'),
    kind LowCardinality(String),
    actor String,
    text String CODEC(ZSTD(1)),
    body String CODEC(ZSTD(1)),
    stored_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (incident_id, ts, event_id)
TTL toDateTime(stored_at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 1000,
    min_free_disk_bytes_to_perform_insert = 67108864;

-- The inventory with its dependency graph. A row can only be replaced: the newest row of a device
-- that was removed says so.
CREATE TABLE IF NOT EXISTS aiops.devices
(
    id String,
    name String,
    type LowCardinality(String),
    site LowCardinality(String),
    criticality LowCardinality(String),
    upstream Array(String),
    owner String,
    labels Map(String, String),
    updated_at DateTime64(6, 'UTC'),
    updated_by String,
    removed UInt8 DEFAULT 0
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY id
SETTINGS non_replicated_deduplication_window = 1000,
    min_free_disk_bytes_to_perform_insert = 67108864;
