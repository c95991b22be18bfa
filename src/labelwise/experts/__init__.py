"""Mixtures of experts: networks that tasks share, each using the few that its gate chooses."""

from labelwise.experts._baselines import PLE, Extraction, SharedBottom, SingleTask
from labelwise.experts._mixture import Mixture, MixtureOutput, MultiTaskMixture
from labelwise.experts._mlp import MLPExperts
from labelwise.experts._tasks import ByTask

__all__ = [
    "PLE",
    "ByTask",
    "Extraction",
    "MLPExperts",
    "Mixture",
    "MixtureOutput",
    "MultiTaskMixture",
    "SharedBottom",
    "SingleTask",
]
