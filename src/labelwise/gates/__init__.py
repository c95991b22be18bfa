"""Who answers: gates give each expert its weight, for a whole task or for each example."""

from labelwise.gates._ask import ask
from labelwise.gates._base import Gate, GateOutput
from labelwise.gates._dselect_k import DSelectK
from labelwise.gates._fixed import Fixed
from labelwise.gates._logits import Softmax, TopK
from labelwise.gates._permutation import ExpertPermutation
from labelwise.gates._random import GumbelSoftmax, NoisyTopK
from labelwise.gates._schedules import LinearRamp
from labelwise.gates._sparse import Entmax, Sparsemax

__all__ = [
    "DSelectK",
    "Entmax",
    "ExpertPermutation",
    "Fixed",
    "Gate",
    "GateOutput",
    "GumbelSoftmax",
    "LinearRamp",
    "NoisyTopK",
    "Softmax",
    "Sparsemax",
    "TopK",
    "ask",
]
