"""Plain training: one head a task on a shared backbone; what other methods are compared with."""

from labelwise.methods.noisy.base import NoisyMethod


class CrossEntropy(NoisyMethod):
    """Learns every task by cross-entropy, from one backbone with a linear head a task.

    Sets of classes are learned by a binary cross-entropy a class, distributions by the cross-entropy against them, and
    numbers by their squared error, standardised.

    Takes all labels as true. With several tasks the backbone is shared between them (a shared bottom); fit one task at
    a time for networks of their own.
    """

    needs = "any kind of labels; missing ones are left out of the loss"
    kinds = ("single", "multi", "soft", "real")
    bench = "frog-calls"
