"""Where readings come from besides the bus: polls of VictoriaMetrics."""
