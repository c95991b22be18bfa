import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.functional import masked_cross_entropy, temperature


def drawn(n: int, classes: int, true_temperature: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels drawn from softmax(logits / true_temperature)."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    chances = torch.softmax(logits / true_temperature, -1)
    return logits, torch.multinomial(chances, 1, generator=generator).squeeze(1)


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 4.0])
def test_it_finds_the_temperature_that_labels_were_drawn_at(true_temperature):
    assert temperature(*drawn(20_000, 5, true_temperature)) == pytest.approx(true_temperature, rel=0.05)


def test_no_other_temperature_makes_labels_likelier():
    logits, labels = drawn(5_000, 3, 2.0)
    best = temperature(logits, labels)

    def loss(at: float) -> float:
        return masked_cross_entropy(logits / at, labels).mean().item()

    assert loss(best) <= min(loss(best * factor) for factor in (0.95, 1.05, 0.5, 2.0))


@given(st.floats(1e-6, 1e6), st.integers(0, 20))
def test_it_scales_with_the_logits(scale, seed):
    logits, labels = drawn(50, 4, 1.0, seed)
    assert temperature(scale * logits, labels) == pytest.approx(scale * temperature(logits, labels), rel=1e-5)


def test_adding_a_constant_to_a_row_changes_nothing():
    logits, labels = drawn(100, 3, 1.0)
    shifted = logits + 50 * torch.randn(100, 1, dtype=torch.float64)
    assert temperature(shifted, labels) == pytest.approx(temperature(logits, labels), rel=1e-6)


@pytest.mark.parametrize("n", [10, 1000])
def test_all_right_gives_the_confidence_that_so_many_right_answers_warrant(n):
    labels = torch.arange(n) % 3
    logits = 7.0 * torch.nn.functional.one_hot(labels, 3).double()
    confidence = torch.softmax(logits / temperature(logits, labels), -1).amax(-1).mean().item()
    assert 1 - confidence == pytest.approx(2 / 3 / (n + 1), rel=1e-4)


def test_worse_than_guessing_gives_no_confidence():
    labels = torch.arange(100) % 4
    logits = -5.0 * torch.nn.functional.one_hot(labels, 4).float()
    found = temperature(logits, labels)
    assert math.isfinite(found)
    torch.testing.assert_close(torch.softmax(logits / found, -1), torch.full((100, 4), 0.25), atol=1e-3, rtol=0)


def test_missing_labels_do_not_count():
    logits, labels = drawn(60, 3, 1.0)
    gaps = labels.clone()
    gaps[::2] = -1
    assert temperature(logits, gaps) == temperature(logits[1::2], labels[1::2])


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (torch.randn(3, 4), torch.full((3,), -1)),
        (torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
        (torch.ones(5, 4), torch.zeros(5, dtype=torch.int64)),
        (torch.randn(5, 1), torch.zeros(5, dtype=torch.int64)),
    ],
)
def test_nothing_to_learn_from_leaves_logits_as_they_are(logits, labels):
    assert temperature(logits, labels) == 1.0


def test_extreme_logits_stay_finite():
    logits, labels = drawn(100, 3, 1.0)
    for factor in (1e-30, 1e30):
        assert 0 < temperature(factor * logits, labels) < math.inf


def test_errors_name_the_row():
    logits, labels = drawn(5, 3, 1.0)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 3\), or -1 if missing; got 7 at row 2"):
        temperature(logits, torch.tensor([0, 1, 7, 0, 0]))
    logits[3, 1] = math.nan
    with pytest.raises(ValueError, match="logits must be finite; row 3"):
        temperature(logits, labels)
    with pytest.raises(ValueError, match=r"got \[5, 3\] and \[4\]"):
        temperature(logits, labels[:4])
