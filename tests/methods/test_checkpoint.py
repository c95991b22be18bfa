import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from labelwise.methods.checkpoint import SafetensorsIO, load_tree, save_tree


def same(left, right):
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and (left == right or (left != left and right != right))


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
keys = st.text(max_size=5) | st.integers() | st.none() | st.tuples(st.integers(), st.text(max_size=2))
tensors = st.builds(
    lambda size, dtype: torch.arange(math.prod(size)).reshape(size).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool]),
)
trees = st.recursive(
    plain | tensors,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(trees)
def test_trees_come_back_as_they_were(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("tree") / "tree.safetensors"
    save_tree(path, tree)
    assert same(tree, load_tree(path))


def test_places_with_equal_spelling_are_kept_apart(tmp_path):
    tree = {1: torch.tensor(1), "1": torch.tensor(2), "a/b": torch.tensor(3), "a": {"b": torch.tensor(4)}}
    save_tree(tmp_path / "tree.safetensors", tree)
    assert same(tree, load_tree(tmp_path / "tree.safetensors"))


def test_tied_and_strided_tensors_are_kept(tmp_path):
    weight = torch.randn(3, 4)
    tree = {"one": weight, "two": weight, "turned": weight.T, "part": weight[:, 1]}
    save_tree(tmp_path / "tree.safetensors", tree)
    assert same(tree, load_tree(tmp_path / "tree.safetensors"))


def test_state_of_optimiser_and_random_numbers(tmp_path):
    layer = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    tree = {"optimizer_states": [optimiser.state_dict()], "random": torch.get_rng_state()}
    save_tree(tmp_path / "tree.safetensors", tree)
    back = load_tree(tmp_path / "tree.safetensors")
    assert same(tree, back)
    optimiser.load_state_dict(back["optimizer_states"][0])
    expected = torch.rand(3)
    torch.set_rng_state(back["random"])
    assert torch.equal(torch.rand(3), expected)


def test_other_types_are_refused_by_place_and_nothing_is_written(tmp_path):
    with pytest.raises(TypeError, match="got set at /a/0"):
        save_tree(tmp_path / "tree.safetensors", {"a": [{1, 2}]})
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "tree.safetensors"
    with pytest.raises(FileNotFoundError):
        load_tree(path)
    save_tree(path, {"a": torch.ones(100)})
    whole = path.read_bytes()
    for broken in (whole[:-10], whole[:5], b"", b"\x00" * 100):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="damaged or not a checkpoint"):
            load_tree(path)
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(ValueError, match="damaged or not a checkpoint"):
        load_tree(path)
    save_file({"a": torch.ones(1), "b": torch.ones(1)}, path, metadata={"tree": '["tensor", "a"]'})
    with pytest.raises(ValueError, match="belong nowhere: b"):
        load_tree(path)


def test_the_plugin_serves_a_trainer_in_a_process_that_cannot_unpickle(tmp_path, processes):
    # Resuming must not need pickle at all: the child process fails on any attempt to load one.
    script = """
import logging, pickle, sys, warnings
import torch
logging.getLogger('lightning.pytorch').setLevel(logging.ERROR)
import lightning.pytorch as pl
from labelwise.methods.checkpoint import SafetensorsIO

def refuse(*args, **kwargs):
    raise AssertionError("pickle was used")
pickle.load = pickle.loads = torch.load = refuse
warnings.simplefilter("ignore")

class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
    def training_step(self, batch, index):
        return self.layer(batch).square().mean()
    def configure_optimizers(self):
        optimiser = torch.optim.Adam(self.parameters())
        return [optimiser], [torch.optim.lr_scheduler.StepLR(optimiser, 1)]

def trainer(epochs):
    return pl.Trainer(max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
                      enable_model_summary=False, plugins=[SafetensorsIO()], accelerator="cpu")

data = torch.utils.data.DataLoader([torch.ones(4, 2), torch.zeros(4, 2)], batch_size=None)
first = trainer(2)
first.fit(Model(), data)
first.save_checkpoint(sys.argv[1])
second = trainer(3)
second.fit(Model(), data, ckpt_path=sys.argv[1])
print(second.global_step)
"""
    assert processes.run(script, tmp_path / "last.safetensors") == (0, "6\n", "")


def test_removing_twice_is_no_error(tmp_path):
    plugin = SafetensorsIO()
    plugin.save_checkpoint({"a": 1}, tmp_path / "a.safetensors")
    assert plugin.load_checkpoint(tmp_path / "a.safetensors", weights_only=False) == {"a": 1}
    plugin.remove_checkpoint(tmp_path / "a.safetensors")
    plugin.remove_checkpoint(tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []
