import pytest
from tests.methods.noisy.samples import make, run


def test_trusted_rows_without_a_label_or_not_trained_on_are_left_out():
    method, _, inputs, targets, _ = run("dynamic-loss", epochs=3, trusted=(0, 1, 5, 170))
    trusted, labels = method._trusted["a"]
    assert targets["a"][5] < 0
    assert trusted.equal(inputs[:2])
    assert labels.equal(targets["a"][:2])


def test_trusted_rows_are_numbers_of_rows():
    with pytest.raises(ValueError, match="trusted must be row numbers of at least 0; got -3"):
        make("dynamic-loss", trusted=(1, -3))
