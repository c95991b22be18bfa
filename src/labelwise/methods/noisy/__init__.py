"""Methods for labels that may be wrong, and plain training to compare them with."""

from labelwise.methods.noisy.cross_entropy import CrossEntropy

__all__ = ["CrossEntropy"]
