"""Files and instruments → the platform. The way of a line:

1. ``files``: bytes of a file → whole lines of text; a line that is not text is refused.
2. ``formats``: detects the format of the file. ``text_formats`` (a table of regular expressions,
   with ``times`` and ``levels``), ``json_lines`` and ``nmea`` parse a line into ``parsed``.
3. ``lines``: adds what a line does not say (ship, host, tracking id) → LogEntry or MetricSamples.
4. ``replay``: sends batches of lines, as fast as ``flow`` allows.
5. ``sink``: publishes each message and stores each log line in ``logs.raw``.

``nmea.live`` is the other entrance: sentences from the network, straight to the sink. ``report``
shows the result of a replay. Steps 1 to 3 do no I/O but reading the file.
"""
