"""One log line, stage by stage."""
