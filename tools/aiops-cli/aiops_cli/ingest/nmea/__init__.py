"""Sentences of ship instruments (NMEA 0183, AIS) → readings: line → ``sentence`` (checked and parsed) →
``instruments`` and ``ais`` (what it measures) → ``reader`` (when, and how often). Pure.

The grammar of sentences is pynmeagps', that of AIS payloads pyais'.
"""
