"""Find noise that sits together: clusters of a class far from the rest of it take the label of the nearest class."""

import warnings
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from labelwise.labels import Task
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import NoisyMethod, Shared, TaskBatch

_NEAREST = 20  # rows of a class, and of a cluster, that distances are averaged over
_SLOWER = 0.1  # the learning rate after relabelling


class NoiseClusters(NoisyMethod):
    """Cross-entropy, then relabelling by clusters of the features, then fine-tuning.

    In the first part of training all labels count. Then rows that are predicted as labelled stay, the others are left
    out. Their features are drawn in the plane by t-SNE, and each class is cut into clusters there. Its biggest cluster
    keeps the label; each other one takes that of the class which it is nearest to in the features. What is left is
    learned at a tenth of the learning rate.

    Args:
        warm_up: share of training before rows are relabelled, in (0, 1).
        radius: that joins rows of a cluster, where the plane is 1 wide and high, > 0.
        most_rows: of a task that are drawn in the plane, >= 10; others keep their labels. Time grows somewhat faster
            than these.
    """

    paper = "NoiseCluster (SDN), as compared by Hu et al., Noisy Ostracods, NeurIPS 2024, arXiv 2412.02313"
    card = "noisy-ostracods"
    bench = "noisy"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        warm_up: float = 0.5,
        radius: float = 0.04,
        most_rows: int = 5000,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        check_range("warm_up", warm_up, above=0, below=1)
        check_range("radius", radius, above=0)
        check_range("most_rows", most_rows, least=10)
        self.warm_up = warm_up
        self.radius = radius
        self.most_rows = most_rows

    def settled(self) -> bool:
        """Whether rows have been relabelled."""
        return self.current_epoch >= self.epochs_of(self.warm_up)

    def task_loss(self, part: TaskBatch) -> Tensor:
        """Mean cross-entropy of the labels as they are now."""
        if "labels" in self.memory:
            labels = self.memory["labels"][part.task][part.index.cpu()].to(part.labels.device)
            self.note_selected(part, labels == part.labels)
            part = part._replace(labels=labels)
        return super().task_loss(part)

    def on_train_epoch_start(self) -> None:
        """Relabel, at the end of the first part."""
        if self.current_epoch != self.epochs_of(self.warm_up):
            return
        logits = self.over_training_rows(lambda batch: self(batch.inputs))
        features = self.over_training_rows(lambda batch: {"features": self.backbone(batch.inputs)})["features"]
        self.memory["labels"] = {task.name: self._relabelled(task, logits[task.name], features) for task in self.tasks}
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] *= _SLOWER

    def facts(self) -> dict[str, Any]:
        """`left_out` and `relabelled`: how many labels of each task."""
        labels = self.memory.get("labels", {})
        given = self.given
        return {
            "left_out": {task: int(((labels[task] < 0) & (given[task] >= 0)).sum()) for task in labels},
            "relabelled": {task: int(((labels[task] >= 0) & (labels[task] != given[task])).sum()) for task in labels},
        }

    def _relabelled(self, task: Task, logits: Tensor, features: Tensor) -> Tensor:
        given = self.given[task.name]
        confident = (given >= 0) & (logits.argmax(-1) == given)
        labels = given.where(confident, -1)
        rows = np.flatnonzero(confident.numpy())
        if len(rows) > self.most_rows:
            rows = np.sort(np.random.default_rng(0).choice(rows, self.most_rows, replace=False))
        labels[rows] = torch.from_numpy(relabel_clusters(features[rows], given[rows].numpy(), self.radius))
        return labels


def relabel_clusters(features: Tensor, labels: np.ndarray, radius: float) -> np.ndarray:
    """Labels [n], where all but the biggest cluster of each class have taken the label of the nearest class.

    `features` [n, d]; clusters are those of DBSCAN in a t-SNE of them, 1 wide and high. The distance of a cluster to a
    class is the mean of the 20 smallest among its rows, each the mean over the 20 nearest rows of the class outside of
    the cluster.
    """
    from sklearn.cluster import DBSCAN

    made = labels.copy()
    if len(labels) < 4:
        return made
    plane = _plane(features.numpy())
    for each in np.unique(labels):
        own = np.flatnonzero(labels == each)
        cluster = DBSCAN(eps=radius, min_samples=1).fit_predict(plane[own])
        sizes = np.bincount(cluster)
        for number in np.flatnonzero(np.arange(len(sizes)) != sizes.argmax()):
            rows = own[cluster == number]
            made[rows] = _nearest_class(features, labels, rows)
    return made


def _plane(features: np.ndarray) -> np.ndarray:
    """The features in the plane, [n, 2] in [0, 1]."""
    from sklearn.manifold import TSNE

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of features that are all alike
        drawn = TSNE(perplexity=min(30.0, (len(features) - 1) / 3), random_state=0).fit_transform(features)
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    return (drawn - low) / np.maximum(high - low, 1e-12)


def _nearest_class(features: Tensor, labels: np.ndarray, rows: np.ndarray) -> int:
    outside = np.ones(len(labels), bool)
    outside[rows] = False
    best, least = int(labels[rows[0]]), np.inf
    for each in np.unique(labels[outside]):
        others = features[np.flatnonzero(outside & (labels == each))]
        distances = torch.cdist(features[rows], others)
        near = distances.topk(min(_NEAREST, len(others)), largest=False).values.mean(1)
        distance = near.topk(min(_NEAREST, len(near)), largest=False).values.mean().item()
        if distance < least:
            best, least = int(each), distance
    return best
