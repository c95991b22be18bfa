import pytest

from labelwise.models.detectors import COMPACT, PRETRAINED, TORCHVISION, check_detector
from labelwise.models.detectors import usual_learning_rate as rate
from labelwise.models.detectors import usual_side as side


@pytest.mark.parametrize("name", [COMPACT, *PRETRAINED, *TORCHVISION, *(f"{name}-untrained" for name in TORCHVISION)])
def test_every_name_is_known_and_random_weights_take_larger_steps_than_pretrained_ones(name):
    check_detector(name)
    assert (rate(name) > 1e-4) is (name == COMPACT or name.endswith("-untrained"))
    assert (side(name) < 640) is (name == COMPACT or name.startswith("ssd"))
    assert side(name) % 32 == 0
