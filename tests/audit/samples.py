"""Labels and probabilities for the tests of confident learning."""

import numpy as np
from hypothesis import strategies as st


def sample(seed: int, n: int, classes: int, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels that follow the probabilities in part, so that every branch is reached."""
    generator = np.random.default_rng(seed)
    logits = sharpness * generator.standard_normal((n, classes))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.where(generator.random(n) < 0.7, probs.argmax(axis=1), generator.integers(classes, size=n))
    return labels, probs


samples = st.builds(
    sample, st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(2, 7), st.sampled_from([0.5, 3.0])
)


def published(data, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels and out-of-sample probabilities of a published test set, rows rescaled to sum 1."""
    with np.load(data / "label-errors" / f"{name}_test.npz") as file:
        labels, probs = file["labels"].astype(np.int64), file["pred_probs"]
    return labels, probs / probs.sum(axis=1, keepdims=True)
