"""Templates of log lines: masking, mining, parameters. Pure."""
