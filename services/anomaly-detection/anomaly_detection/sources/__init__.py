"""Readings from polls of VictoriaMetrics."""
