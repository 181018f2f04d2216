"""What a trial is, for each body of work: the only place that ties systems to the study."""

from flowprune.experiments.evolution import EvolutionTrial
from flowprune.experiments.nodes import NodeTrial
from flowprune.experiments.speed import SpeedTrial

__all__ = ["EvolutionTrial", "NodeTrial", "SpeedTrial"]
