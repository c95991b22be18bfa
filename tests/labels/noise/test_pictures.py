import numpy as np
import pytest

from labelwise.labels.noise import spoil


@pytest.mark.parametrize("shape", [(60, 8, 8), (60, 28, 20), (60, 32, 32, 3)])
def test_spoiled_pictures_keep_little_of_what_they_showed(shape):
    pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    before = pictures.copy()
    spoiled = spoil(pictures, np.random.default_rng(1))
    assert np.array_equal(pictures, before)
    assert spoiled.shape == shape
    assert spoiled.dtype == np.uint8
    kept = (spoiled == pictures).reshape(60, -1).mean(axis=1)
    assert kept.max() < 0.2
    assert np.array_equal(spoiled, spoil(pictures, np.random.default_rng(1)))
