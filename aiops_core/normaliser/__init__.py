"""One reading of a log line, for files and for what Vector delivers. Pure.

``normaliser`` is the way in: a line, its arrival and the context of its sender become a
``ParsedLine``; ``entries`` makes fields of a ``LogEntry`` of it. The rest are its parts:
``text_formats`` (syslog, ``firewalls``, ``app_table``) and ``json_lines`` read a line,
``payloads`` what lies within its message, ``levels`` and ``times`` its words and times. What a line
owes to earlier ones of its sender is in ``context``: ``continuations``, ``columns``, ``clocks``.
``statement`` tells what the device itself says from what others wrote.
"""
