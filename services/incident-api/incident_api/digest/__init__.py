"""The digest of a day: findings that opened no incident, by device and message."""
