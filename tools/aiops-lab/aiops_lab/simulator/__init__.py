"""A ship that does not exist: devices, their log and metric traffic, faults with known truth.

The same seed gives the same scenario, event by event. Time is an offset in seconds from the start.

``inventory`` (devices and what they need) → ``traffic`` (a normal day) + ``faults`` (what goes
wrong) → ``scenario`` (both, in order, with truth) → ``convert`` (messages) → ``driver`` (in real
time).
"""

from aiops_lab.simulator.convert import Voyage
from aiops_lab.simulator.driver import PlaySummary, play
from aiops_lab.simulator.inventory import SHIP, SimulatedShip
from aiops_lab.simulator.readings import LIMITS, ReadingLimit
from aiops_lab.simulator.scenario import SCENARIOS, Event, Injection, Scenario, named
from aiops_lab.simulator.truth import InjectedFault, Truth, TruthRole

__all__ = [
    "LIMITS",
    "SCENARIOS",
    "SHIP",
    "Event",
    "InjectedFault",
    "Injection",
    "PlaySummary",
    "ReadingLimit",
    "Scenario",
    "SimulatedShip",
    "Truth",
    "TruthRole",
    "Voyage",
    "named",
    "play",
]
