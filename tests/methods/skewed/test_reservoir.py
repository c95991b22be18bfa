import pytest
import torch

from labelwise.methods.skewed.reservoir import Reservoir


@pytest.mark.parametrize("at_once", [2, 5, 12])
def test_each_that_came_is_kept_with_the_same_probability(at_once):
    torch.manual_seed(0)
    kept = torch.zeros(12)
    runs = 300
    for _ in range(runs):
        memory = Reservoir(3)
        for rows in torch.arange(12).split(at_once):
            memory.add(rows[:, None].float(), rows)
        inputs, labels = memory.sample(100)
        assert len(memory) == len(labels) == 3
        assert torch.equal(inputs[:, 0].long(), labels)
        kept[labels] += 1
    error = (0.25 * 0.75 / runs) ** 0.5
    assert ((kept / runs - 0.25).abs() < 4 * error).all()


def test_what_came_is_kept_while_there_is_room():
    memory = Reservoir(5)
    with pytest.raises(ValueError, match="memory is empty"):
        memory.sample(1)
    given = torch.randn(3, 2)
    memory.add(given, torch.arange(3))
    inputs, labels = memory.sample(9)
    assert torch.equal(inputs, given[labels])
    assert sorted(labels.tolist()) == [0, 1, 2]
    assert len(memory.sample(2)[1]) == 2
    with pytest.raises(ValueError, match="size must be at least 1"):
        Reservoir(0)
