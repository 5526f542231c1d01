-- Where anomalies ended a moment ago, in memory: what the API shows at once. It is written to
-- aiops.incident_members within a second, many rows as one part, and only then acknowledged to the broker, which
-- delivers it again when the memory was lost. The oldest rows leave by themselves. row is a JSON object of the other
-- columns, times in microseconds: an insert of three columns takes half as long as one of twelve.

CREATE TABLE IF NOT EXISTS aiops.incident_members_recent
(
    incident_id String,
    tracking_id String,
    row String
)
ENGINE = Memory
SETTINGS min_bytes_to_keep = 8388608, max_bytes_to_keep = 16777216;

-- Both together. A row may be there twice, and in several versions: of an anomaly and a place the greatest version
-- holds, as in FINAL, which a view cannot be asked for. stored_at is when a recent row was sent, and later when it
-- was answered.

CREATE VIEW IF NOT EXISTS aiops.incident_members_now AS
SELECT incident_id, tracking_id, anomaly_id, ts, role, place, reason, rule, stages, version, body, stored_at
FROM aiops.incident_members
UNION ALL
SELECT
    incident_id,
    tracking_id,
    JSONExtractString(row, 'anomaly_id') AS anomaly_id,
    fromUnixTimestamp64Micro(JSONExtractInt(row, 'ts'), 'UTC') AS ts,
    JSONExtractString(row, 'role') AS role,
    JSONExtractString(row, 'place') AS place,
    JSONExtractString(row, 'reason') AS reason,
    JSONExtractString(row, 'rule') AS rule,
    mapApply((stage, at) -> (stage, fromUnixTimestamp64Micro(at, 'UTC')), JSONExtract(row, 'stages', 'Map(String, Int64)')) AS stages,
    JSONExtractUInt(row, 'version') AS version,
    JSONExtractString(row, 'body') AS body,
    fromUnixTimestamp64Micro(JSONExtractInt(row, 'stored_at'), 'UTC') AS stored_at
FROM aiops.incident_members_recent;
