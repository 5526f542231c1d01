"""Incidents: list, show, create, change."""
