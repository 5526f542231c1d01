"""ClickHouse's native TCP protocol over the embedded engine: clickhouse-driver cannot tell the
difference.

From the socket inwards: `wire` (bytes), `frames` (compression), `layout` and `blocks` (where a
column and a block end), `statements` (what a query text asks for), `session` (one client) with
`feed` (its insert), `server` (all clients), `launch` (the server as a child process). Behind them
`engine`, `connection` and `embedded`, which alone imports chdb.
"""
