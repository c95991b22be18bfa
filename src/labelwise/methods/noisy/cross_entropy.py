"""Plain training: one head a task on a shared backbone, cross-entropy; what other methods are compared with."""

from labelwise.methods.noisy.base import NoisyMethod


class CrossEntropy(NoisyMethod):
    """Learns every task by cross-entropy, from one backbone with a linear head a task.

    Takes all labels as true. With several tasks the backbone is shared between them (a shared bottom); fit one task at
    a time for networks of their own.
    """

    bench = "frog-calls"
