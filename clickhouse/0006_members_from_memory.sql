-- incident-api itself keeps what is not written yet (decision 15): ClickHouse is not asked to.

DROP VIEW IF EXISTS aiops.incident_members_now;
DROP TABLE IF EXISTS aiops.incident_members_recent;
