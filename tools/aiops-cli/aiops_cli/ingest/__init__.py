"""Files and instruments → the platform. The way of a line:

1. ``files``: bytes of a file, an archive or a pipe → whole lines of text; a file that is no text
   is refused, and named for what it is.
2. ``formats``: detects the format of the file; the normaliser of ``aiops_core`` reads log lines,
   the same one that detection has for lines of Vector; ``nmea`` reads sentences of instruments.
3. ``lines``: adds what a line does not say (ship, host) and an id that derives from it → LogEntry
   or MetricSamples.
4. ``replay``: sends batches of lines, as fast as ``flow`` allows.
5. ``sink``: publishes each message and stores each log line in ``logs.raw``.

``nmea.live`` is the other entrance: sentences from the network, straight to the sink. ``report``
shows the result of a replay. Steps 1 to 3 do no I/O but reading the file.
"""
