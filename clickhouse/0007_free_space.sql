-- ClickHouse acknowledges an insert, or ends a merge, with empty files when the disk becomes full while it writes them. So
-- inserts end earlier (code 243, which everybody waits for): 64 MiB are more than others write meanwhile.

ALTER TABLE logs.raw MODIFY SETTING min_free_disk_bytes_to_perform_insert = 67108864;
ALTER TABLE aiops.anomalies MODIFY SETTING min_free_disk_bytes_to_perform_insert = 67108864;
ALTER TABLE aiops.incidents MODIFY SETTING min_free_disk_bytes_to_perform_insert = 67108864;
ALTER TABLE aiops.incident_members MODIFY SETTING min_free_disk_bytes_to_perform_insert = 67108864;
ALTER TABLE aiops.incident_events MODIFY SETTING min_free_disk_bytes_to_perform_insert = 67108864;
ALTER TABLE aiops.devices MODIFY SETTING min_free_disk_bytes_to_perform_insert = 67108864;
