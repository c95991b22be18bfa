"""The three models that audits ask by default: different enough that their agreement means something."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted


class Flat(TransformerMixin, BaseEstimator):
    """Turns features of any shape [n, ...] into scaled vectors [n, d], with d at most `dimensions`.

    Every feature is scaled to mean 0 and variance 1; where there are more than `dimensions`, principal components take
    their place.
    """

    def __init__(self, dimensions: int = 64, random_state: int | None = None):
        self.dimensions = dimensions
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Learn means, variances and principal components."""
        flat = _flatten(X)
        self.scaler_ = StandardScaler().fit(flat)
        self.pca_ = None
        if flat.shape[1] > self.dimensions:
            components = min(self.dimensions, len(flat))
            self.pca_ = PCA(components, svd_solver="randomized", random_state=self.random_state)
            self.pca_.fit(self.scaler_.transform(flat))
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Flatten and scale as learned."""
        check_is_fitted(self)
        flat = self.scaler_.transform(_flatten(X))
        return flat if self.pca_ is None else self.pca_.transform(flat)


def default_models(seed: int = 0) -> dict[str, Pipeline]:
    """Make logistic regression, gradient boosting and 5 nearest neighbours, as scikit-learn pipelines by name.

    They take features [n, d] or [n, channels, height, width]; flattening, scaling and (beyond 64 dimensions, for the
    logistic regression beyond 256) principal components are part of the pipeline, so that nothing is learned from
    held-out rows. They are kept small: what counts is that they err differently, not that each is best.
    """
    boosting = HistGradientBoostingClassifier(
        max_iter=30,
        learning_rate=0.2,
        max_leaf_nodes=8,
        max_features=0.3,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )
    return {
        "logistic regression": make_pipeline(Flat(256, seed), LogisticRegression(C=0.1, max_iter=300)),
        "gradient boosting": make_pipeline(Flat(64, seed), boosting),
        "nearest neighbours": make_pipeline(Flat(64, seed), KNeighborsClassifier(5)),
    }


def _flatten(features: np.ndarray) -> np.ndarray:
    return np.asarray(features).reshape(len(features), -1)
