-- Everything that the platform remembers. Statements are idempotent and end with a semicolon at the end of
-- a line; incident-api applies the numbered files in order and records each one in aiops.migrations.
--
-- Partitions and TTLs go by when a row arrived here, never by the time that a message claims: an old log
-- file that is replayed would otherwise vanish at once, and a wild clock would open a partition per line.
-- Days of retention come from policies/retention.yaml; the 30 below holds only until the service has read it.

CREATE DATABASE IF NOT EXISTS aiops;
CREATE DATABASE IF NOT EXISTS logs;

-- Every line, written by Vector or `aiops replay`. A line that was sent twice collapses into one.
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
SETTINGS non_replicated_deduplication_window = 1000;

-- What detection found (version 1), replaced by what enrichment made of it (version 2).
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
SETTINGS non_replicated_deduplication_window = 1000;

-- One row per incident, newest version wins. body is the Incident as JSON without its tracking ids, which
-- are in incident_members; root_cause is JSON or empty; fold is what incident-api needs to go on folding facts into it. recorded_at is
-- the platform's own time of its creation, whatever time its log lines claim.
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
SETTINGS non_replicated_deduplication_window = 1000;

-- Where each anomaly ended: in an incident (role member or duplicate), or suppressed by a rule (role
-- suppressed, incident_id empty). body is the Evidence as JSON. latency_ms is from ingest to this row.
CREATE TABLE IF NOT EXISTS aiops.incident_members
(
    incident_id String,
    anomaly_id String,
    tracking_id String,
    ship_id LowCardinality(String),
    ts DateTime64(6, 'UTC'),
    role LowCardinality(String),
    reason String CODEC(ZSTD(1)),
    rule LowCardinality(String),
    fingerprint String,
    device_id String,
    service LowCardinality(String),
    anomaly_type LowCardinality(String),
    severity LowCardinality(String),
    stages Map(String, DateTime64(6, 'UTC')),
    body String CODEC(ZSTD(1)),
    stored_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    latency_ms Float64 DEFAULT if(mapContains(stages, 'ingest'),
        (toUnixTimestamp64Micro(stored_at) - toUnixTimestamp64Micro(stages['ingest'])) / 1000, nan),
    INDEX by_incident incident_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_arrival stored_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(stored_at)
ORDER BY (tracking_id, anomaly_id)
TTL toDateTime(stored_at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 1000;

-- One row per fact about an incident: its whole timeline. body is the fact as JSON, members left out.
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
SETTINGS non_replicated_deduplication_window = 1000;

-- The inventory with its dependency graph.
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
    updated_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY id
SETTINGS non_replicated_deduplication_window = 1000;
