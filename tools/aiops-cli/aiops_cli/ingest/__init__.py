"""Files → ``logs.ingested`` (and ``metrics.sampled``) and ClickHouse's ``logs.raw``: what Vector does,
without Vector.

bytes → ``reader`` (whole lines or refusals) → ``formats`` (what a line says) → ``stamp`` (who it is
from now on) → ``sink`` (bus and ClickHouse). ``replay`` drives the way, ``cli`` shows it. Everything
before ``sink`` is pure or only reads files.
"""
