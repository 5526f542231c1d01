"""A ship that does not exist: devices, their log and metric traffic, faults with known truth.

Everything but ``files``, ``driver`` and ``cli`` is pure: the same seed gives the same voyage,
event by event, and time is an offset in seconds from the start of the run.

``inventory`` (devices and what they need) → ``traffic`` (a normal day) + ``faults`` (what goes
wrong) → ``scenario`` (both, in order, with truth) → ``convert`` (messages) → ``driver`` (in real
time).
"""

from aiops_lab.simulator.convert import Run
from aiops_lab.simulator.driver import Summary, play
from aiops_lab.simulator.inventory import SHIP, Ship
from aiops_lab.simulator.readings import LIMITS, Limit
from aiops_lab.simulator.scenario import SCENARIOS, Event, Injection, Scenario, named
from aiops_lab.simulator.truth import Episode, Role, Truth

__all__ = [
    "LIMITS",
    "SCENARIOS",
    "SHIP",
    "Episode",
    "Event",
    "Injection",
    "Limit",
    "Role",
    "Run",
    "Scenario",
    "Ship",
    "Summary",
    "Truth",
    "named",
    "play",
]
