"""A ship that does not exist: devices, their log and metric traffic, faults with known truth.

The same seed gives the same scenario, event by event. Time is an offset in seconds from the start.

``inventory`` (devices and what they need) → ``traffic`` (a normal day) + ``faults`` (what goes
wrong) → ``scenario`` (both, in order, with truth) → ``voyage`` (messages) → ``driver`` (in real
time).
"""
