"""Mixtures of experts: networks that tasks share, each using the few that its gate chooses."""

from labelwise.experts._aggregation import AGGREGATORS, BALANCES, Aggregation, make_balance
from labelwise.experts._balance import Balance, DynamicWeightAverage, GradNorm, Uncertainty, Weighted
from labelwise.experts._baselines import PLE, Extraction, SharedBottom, SingleTask
from labelwise.experts._mixture import Mixture, MixtureOutput, MultiTaskMixture
from labelwise.experts._mlp import MLPExperts
from labelwise.experts._parallel import ParallelExperts, keep_local
from labelwise.experts._tasks import ByTask

__all__ = [
    "AGGREGATORS",
    "BALANCES",
    "PLE",
    "Aggregation",
    "Balance",
    "ByTask",
    "DynamicWeightAverage",
    "Extraction",
    "GradNorm",
    "MLPExperts",
    "Mixture",
    "MixtureOutput",
    "MultiTaskMixture",
    "ParallelExperts",
    "SharedBottom",
    "SingleTask",
    "Uncertainty",
    "Weighted",
    "keep_local",
    "make_balance",
]
