"""The way of one log line through the platform."""
