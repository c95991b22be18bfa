import numpy as np
import pandas as pd
import pytest

from labelwise.audit import compare_models, destabilise, run_audit
from labelwise.labels import LabelTable, Task
from labelwise.runs import read_json, write_json

CLASSES = ("a", "b", "c")
IDS = [f"row {at}" for at in range(120)]


def table(codes, ids=IDS, classes=CLASSES):
    return LabelTable.from_columns({"id": ids, "y": codes}, [Task("y", "single", classes)], id="id")


@pytest.fixture
def audited(tmp_path):
    """A run of two models, given and true labels, and what each model predicts."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 120)
    labels = np.where(generator.random(120) < 0.25, (truth + 1) % 3, truth)
    labels[3] = -1
    predicted = np.stack([np.where(generator.random(120) < 0.9, labels, 0), np.where(truth > 0, truth, 2)])
    predicted[predicted < 0] = 0
    probabilities = 0.1 + 0.7 * np.eye(3)[predicted]
    run = run_audit(table(labels), run=tmp_path / "run", probabilities=probabilities, quiet=True).run
    return run, labels, truth, predicted


def test_models_are_compared_on_the_rows_that_the_truth_has_in_any_order(audited):
    run, labels, truth, predicted = audited
    told = np.where(np.arange(120) % 11 == 0, -1, truth)
    kept = np.random.default_rng(1).permutation(120)[:100]
    found = compare_models(run, table(told[kept], [IDS[row] for row in kept]))
    rows = np.isin(np.arange(120), kept) & (labels >= 0)
    names = {f"model {at + 1}": each[rows] for at, each in enumerate(predicted)}
    expected = destabilise(names, labels[rows], told[rows])
    for one, other in zip(found[1:], expected[1:], strict=True):
        pd.testing.assert_frame_equal(one, other)
    facts = read_json(run / "destabilised.json")["y"]
    assert facts["share"] == found.share == expected.share
    assert facts["rows"] == rows.sum()
    assert facts["pruned"] == (told[rows] < 0).sum()
    assert facts["corrected"] == ((told != labels) & (told >= 0))[rows].sum()
    assert [row["model"] for row in facts["models"]] == ["model 1", "model 2"]
    assert facts["curves"] == found.curves.to_dict("records")


def test_repeats_of_a_model_are_one_model_and_bear_its_name(audited):
    run, labels, truth, _ = audited
    draws = np.random.default_rng(2).dirichlet(np.ones(3), (4, 120)).astype(np.float32)
    np.save(run / "probabilities" / "y.npy", draws)
    write_json(run / "probabilities" / "y.npy.json", {"models": ["forest", "neighbours"], "repeats": 2})
    rows = labels >= 0
    predictions = {
        name: each.mean(axis=0).argmax(axis=1)[rows]
        for name, each in (("forest", draws[:2]), ("neighbours", draws[2:]))
    }
    expected = destabilise(predictions, labels[rows], truth[rows])
    pd.testing.assert_frame_equal(compare_models(run, table(truth)).models, expected.models)


def test_a_class_that_only_the_truth_has_is_an_error_of_all_models(audited):
    run, labels, truth, _ = audited
    found = compare_models(
        run, table(np.where(labels < 0, 3, np.where(truth == labels, truth, 3)), classes=(*CLASSES, "d"))
    )
    assert found.models["on_wrong"].tolist() == [0, 0]


def test_what_cannot_be_compared_is_told(audited, tmp_path):
    run, labels, truth, predicted = audited
    with pytest.raises(ValueError, match=r"no id of .* is in .*name its column of ids"):
        compare_models(run, table(truth, [f"other {at}" for at in range(120)]))
    with pytest.raises(ValueError, match="no label was corrected"):
        compare_models(run, table(labels))
    assert not (run / "destabilised.json").exists()
    alone = run_audit(table(labels), run=tmp_path / "one", probabilities=np.eye(3)[predicted[0]], quiet=True).run
    with pytest.raises(ValueError, match=r"has 1 model of 'y'.*\[models, n, classes\]"):
        compare_models(alone, table(truth))
    bare = run_audit(table(labels), run=tmp_path / "none", labels_only=True, quiet=True).run
    with pytest.raises(ValueError, match="has 0 model of 'y'"):
        compare_models(bare, table(truth))
