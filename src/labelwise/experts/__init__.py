"""Mixtures of experts: networks that tasks share, each using the few that its gate chooses."""

from labelwise.experts._mixture import Mixture, MixtureOutput, MultiTaskMixture
from labelwise.experts._mlp import MLPExperts
from labelwise.experts._tasks import ByTask

__all__ = ["ByTask", "MLPExperts", "Mixture", "MixtureOutput", "MultiTaskMixture"]
