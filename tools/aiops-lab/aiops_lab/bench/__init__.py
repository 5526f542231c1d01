"""``aiops bench``: latency and throughput of a fleet, as ratios to a raw relay over the same hops.

``load`` (messages whose anomalous part is known) → the fleet of ``bench`` → ``measure`` (latencies
by stage, use of the processes) and ``ledger`` (where every anomaly ended) → ``report``.
``relay`` is the same way through the broker with nothing in between.
"""
