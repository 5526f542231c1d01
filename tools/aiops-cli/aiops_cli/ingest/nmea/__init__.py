"""Sentences of ship instruments (NMEA 0183, AIS) → readings.

``sentence`` checks and parses a line, ``instruments`` and ``ais`` say what it measures, ``reader``
adds the time and limits the rate. ``live`` receives sentences from the network.

The grammar of sentences is in pynmeagps, that of AIS payloads in pyais.
"""
