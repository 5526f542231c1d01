"""Makes incidents of anomalies: anomaly.enriched -> incidents.created, .updated, .cleared
(and anomaly.suppressed for what a rule hides)."""
