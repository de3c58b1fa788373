"""Anomalies that happen, and cures that hold, statement by statement."""
from .playing import SCENARIOS, Result, UnknownPolicy, UnknownScenario, play
from .scenario import Scenario
from .step import Step

__all__ = ["SCENARIOS", "Result", "Scenario", "Step", "UnknownPolicy", "UnknownScenario", "play"]
