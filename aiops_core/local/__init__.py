"""The embedded parts that stand in for containers on a laptop: real engines, no Docker."""
