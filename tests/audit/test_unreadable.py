import numpy as np

from labelwise.audit.unreadable import blank_pictures


def make(n=100):
    return np.random.default_rng(0).standard_normal((n, 3, 5, 4)).astype(np.float32)


def test_pictures_of_one_colour_are_named_and_no_others():
    pixels = make()
    assert blank_pictures(pixels, {}) == {}
    pixels[7] = np.array([1.5, -0.3, 0.2])[:, None, None]
    pixels[9] = 0
    pixels[11, :2] = 0  # one channel still shows something
    assert blank_pictures(pixels, {}) == {7: "one colour throughout", 9: "one colour throughout"}
    assert list(blank_pictures(pixels, {9: "broken"})) == [7]


def test_blank_pictures_that_are_common_are_no_accident():
    pixels = make()
    pixels[:5] = 0
    assert len(blank_pictures(pixels, {})) == 5
    pixels[:6] = 0
    assert blank_pictures(pixels, {}) == {}
