"""ClickHouse's native TCP protocol over chdb, the ClickHouse engine as a Python package.

It serves clickhouse-driver as ``aiops_core.adapters.clickhouse`` uses it: queries, inserts and DDL,
without compression, external tables, progress and results of types that no table of ours has.

From the socket inwards: ``server`` (all clients), ``session`` (one client), ``wire`` (bytes),
``columns`` (where a column and a block end), ``engine`` (chdb). ``clickhouse`` is the program.
"""
