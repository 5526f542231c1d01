-- Answers of the model that llm-enricher uses again for a fault that is alike. Names stand in body
-- as placeholders, so that no answer says the names of another fault; model and prompt are part of
-- the key. What is older than policies/llm.yaml allows (answering.cache.ttl) is not used, whether it
-- is still here or not.
CREATE TABLE IF NOT EXISTS aiops.llm_cache
(
    key String,
    at DateTime64(6, 'UTC'),
    model LowCardinality(String),
    body String CODEC(ZSTD(1)),
    stored_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY key
TTL toDateTime(stored_at) + INTERVAL 45 MINUTE
SETTINGS non_replicated_deduplication_window = 1000,
    min_free_disk_bytes_to_perform_insert = 67108864;
