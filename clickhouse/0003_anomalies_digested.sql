-- Findings that opened no incident because they are not worth one by themselves. The
-- digest of a day and device is read from here. A finding that comes again replaces its row.
CREATE TABLE IF NOT EXISTS aiops.anomalies_digested
(
    anomaly_id String,
    tracking_id String,
    ship_id LowCardinality(String),
    ts DateTime64(6, 'UTC'),
    device_id String,
    service LowCardinality(String),
    component String,
    anomaly_type LowCardinality(String),
    detector LowCardinality(String),
    severity LowCardinality(String),
    msg String CODEC(ZSTD(1)),
    template_id String,
    template String CODEC(ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    stages Map(String, DateTime64(6, 'UTC')),
    stored_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    INDEX by_tracking_id tracking_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_arrival stored_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(stored_at)
ORDER BY (ship_id, ts, anomaly_id)
TTL toDateTime(stored_at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 1000,
    min_free_disk_bytes_to_perform_insert = 67108864;
