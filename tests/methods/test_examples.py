import torch

from labelwise.methods.checkpoint import load_tree, save_tree
from labelwise.methods.examples import Examples


def filled():
    noted = Examples()
    noted.note("a", torch.tensor([0]), loss=torch.tensor([1.0]))  # before there is room
    noted.start(4)
    noted.note("a", torch.tensor([2, 0]), loss=torch.tensor([0.5, 1.5]), selected=torch.tensor([True, False]))
    noted.note("a", torch.tensor([3]), loss=torch.tensor([2.5]))
    noted.end_epoch()
    noted.note("a", torch.tensor([1]), loss=torch.tensor([4.0]), selected=torch.tensor([True]))
    noted.end_epoch()
    return noted


def test_each_epoch_has_a_page():
    values = filled().values()["a"]
    expected = torch.tensor([[1.5, torch.nan, 0.5, 2.5], [torch.nan, 4.0, torch.nan, torch.nan]])
    torch.testing.assert_close(values["loss"].float(), expected, equal_nan=True)
    assert values["selected"][0, [0, 2]].tolist() == [0.0, 1.0]


def test_a_checkpoint_takes_it_along(tmp_path):
    noted, other = filled(), Examples()
    save_tree(tmp_path / "state.safetensors", noted.state_dict())
    other.load_state_dict(load_tree(tmp_path / "state.safetensors"))
    other.start(4)
    for each in (noted, other):
        each.note("a", torch.tensor([1]), loss=torch.tensor([0.0]))
        each.end_epoch()
    torch.testing.assert_close(other.values()["a"]["loss"], noted.values()["a"]["loss"], equal_nan=True)
    assert len(noted.values()["a"]["loss"]) == 3


def test_what_is_of_other_rows_goes():
    noted = filled()
    noted.start(9)
    assert noted.values() == {}
