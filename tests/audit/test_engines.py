import sys

import joblib
import numpy as np
import pytest

import labelwise
from labelwise.audit.engines import check_engine, is_far, on_engine, spread
from labelwise.audit.on_ray import _by_path, _call
from labelwise.labels import bundled


def add(first, second, item):
    return first + second + item


def test_here_a_kind_of_map_does_the_work_and_shared_values_come_first():
    assert list(spread(add, (10, 20), range(3))) == [30, 31, 32]

    def backwards(call, items):
        return [call(item) for item in reversed(list(items))]

    assert list(spread(add, (10, 20), range(3), backwards)) == [32, 31, 30]
    with on_engine("local"):
        assert not is_far()
        assert list(spread(add, ("a", "b"), "c")) == ["abc"]


def test_an_unknown_or_absent_engine_is_named_before_anything_is_made(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="engine must be one of local, ray; got 'spark'"):
        labelwise.audit(bundled("iris"), run=tmp_path / "run", engine="spark")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'labelwise\[scale\]'"):
        labelwise.audit(bundled("iris"), run=tmp_path / "run", engine="ray")
    assert not (tmp_path / "run").exists()
    check_engine("local")


def test_a_mapped_array_goes_by_its_path_and_any_other_value_as_it_is(tmp_path):
    whole = np.random.default_rng(0).random((3, 50, 4), np.float32)
    np.save(tmp_path / "p.npy", whole)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    for view in (mapped, mapped[1], mapped[2, 7:30], np.asarray(mapped[1]), mapped.reshape(150, 4)):
        sent = _by_path(view)
        assert len(joblib.hash(sent)) < 100
        assert sent.path == str(tmp_path / "p.npy")
        np.testing.assert_array_equal(sent.open(), view)
    for other in (mapped[:, 3], whole, mapped.astype(np.float64), "word"):
        assert _by_path(other) is other

    gone = _by_path(mapped[1])
    (tmp_path / "p.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"does not see .*p\.npy; put the run folder \(--out\) on a disk"):
        gone.open()


def test_a_task_opens_what_was_sent_by_path_and_has_one_processor(tmp_path, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "7")
    np.save(tmp_path / "p.npy", np.arange(6.0))
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    result, processors = _call((lambda array, item: (array[item], joblib.cpu_count()), (_by_path(mapped),)), 4)
    assert (result, processors) == (4.0, 1)
