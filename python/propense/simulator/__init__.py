"""A seeded simulator of a ticketing app's event log, with the true intent of its users known."""

from __future__ import annotations

from propense.simulator.files import write
from propense.simulator.simulation import Simulation, simulate

__all__ = ["Simulation", "simulate", "write"]
