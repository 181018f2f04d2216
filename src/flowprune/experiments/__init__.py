"""What a trial is, for each body of work: the only place that ties systems to the study."""

from flowprune.experiments.attention import AttentionTrial
from flowprune.experiments.choice import ChoiceTrial
from flowprune.experiments.choice_edges import EdgeTrial
from flowprune.experiments.cost import CostTrial
from flowprune.experiments.decay import DecayTrial
from flowprune.experiments.deep import DeepTrial
from flowprune.experiments.depth import DepthTrial
from flowprune.experiments.designed import DesignedTrial
from flowprune.experiments.evolution import EvolutionTrial
from flowprune.experiments.flow_speed import FlowSpeedTrial
from flowprune.experiments.growth import AccuracyTrial, GrowthTrial, MemoryTrial
from flowprune.experiments.kernel_speed import KernelSpeedTrial, KernelWaysTrial
from flowprune.experiments.kernels import DependenceTrial, WidthTrial
from flowprune.experiments.logic import LogicTrial
from flowprune.experiments.logic_speed import LogicSpeedTrial, LogicWaysTrial
from flowprune.experiments.mask_paths import PathTrial
from flowprune.experiments.masks import MaskTrial
from flowprune.experiments.nodes import NodeTrial
from flowprune.experiments.pruned_training import PrunedTrainingTrial
from flowprune.experiments.scaling import ScaleTrial
from flowprune.experiments.speed import SpeedTrial
from flowprune.experiments.subsets import SubsetTrial
from flowprune.experiments.transformer import TransformerTrial
from flowprune.experiments.waves import WaveTrial

__all__ = [
    "AccuracyTrial",
    "AttentionTrial",
    "ChoiceTrial",
    "CostTrial",
    "DecayTrial",
    "DeepTrial",
    "DependenceTrial",
    "DepthTrial",
    "DesignedTrial",
    "EdgeTrial",
    "EvolutionTrial",
    "FlowSpeedTrial",
    "GrowthTrial",
    "KernelSpeedTrial",
    "KernelWaysTrial",
    "LogicSpeedTrial",
    "LogicTrial",
    "LogicWaysTrial",
    "MaskTrial",
    "MemoryTrial",
    "NodeTrial",
    "PathTrial",
    "PrunedTrainingTrial",
    "ScaleTrial",
    "SpeedTrial",
    "SubsetTrial",
    "TransformerTrial",
    "WaveTrial",
    "WidthTrial",
]
