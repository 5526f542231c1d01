"""Our five services, and the port on which each of them answers HTTP unless told otherwise."""

from __future__ import annotations

PORTS = {
    "anomaly-detection": 8080,
    "incident-api": 8081,
    "correlation-service": 8082,
    "llm-enricher": 8083,
    "enrichment-service": 8084,
}
