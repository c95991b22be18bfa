import sys

import numpy as np
import pandas as pd
import pytest

from labelwise.audit.annotators import annotator_issues, annotator_quality, answers_of
from labelwise.labels import LabelTable, Task

ACCURACY = {"ann": 0.95, "ben": 0.9, "cleo": 0.9, "dan": 0.5}


def make(accuracy=ACCURACY, n=400, classes=3, seed=0) -> tuple[np.ndarray, pd.DataFrame]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, n)
    parts = []
    for name, share in accuracy.items():
        other = (truth + generator.integers(1, classes, n)) % classes
        said = np.where(generator.random(n) < share, truth, other)
        parts.append(pd.DataFrame({"example": np.arange(n), "annotator": name, "label": [f"c{k}" for k in said]}))
    return truth, pd.concat(parts, ignore_index=True)


def test_bad_answers_are_refused():
    _, answers = make(n=20)
    with pytest.raises(ValueError, match="there is no 'label'"):
        annotator_quality(answers.drop(columns="label"))
    with pytest.raises(ValueError, match="row 3 holds none"):
        annotator_quality(answers.assign(label=answers["label"].where(answers.index != 3)))
    with pytest.raises(ValueError, match="at least two annotators"):
        annotator_quality(answers[answers["annotator"] == "ann"])
    with pytest.raises(ValueError, match="ann answers twice about example 0"):
        annotator_quality(pd.concat([answers, answers.head(1)]))


def test_without_crowd_kit_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "crowdkit.aggregation", None)
    with pytest.raises(ValueError, match=r"needs an extra: pip install 'labelwise\[annotators\]'"):
        annotator_quality(make()[1])


def test_labels_of_several_tasks_are_answers():
    columns = {"ann": np.array([0, 1, -1]), "ben": np.array([0, 0, 1])}
    table = LabelTable.from_columns(columns, [Task(name, "single", ("x", "y")) for name in columns])
    answers = answers_of(table, ["ann", "ben"])
    assert answers.to_numpy().tolist() == [
        [0, "ann", "x"],
        [1, "ann", "y"],
        [0, "ben", "x"],
        [1, "ben", "x"],
        [2, "ben", "y"],
    ]
    with pytest.raises(ValueError, match="at least two annotators"):
        answers_of(table, ["ann"])
    numbers = LabelTable.from_columns({"z": np.arange(3.0)}, [Task("z", "real")])
    with pytest.raises(ValueError, match="'z' is of kind 'real'"):
        answers_of(numbers, ["z"])


class TestWithCrowdKit:
    @pytest.fixture(autouse=True)
    def _needs(self):
        pytest.importorskip("crowdkit", reason="needs the extra 'annotators'")

    def test_accuracies_and_truth_are_recovered(self):
        truth, answers = make(n=1500)
        quality = annotator_quality(answers)
        found = quality.annotators.set_index("annotator")
        assert found["accuracy"].to_dict() == pytest.approx(ACCURACY, abs=0.04)
        assert quality.annotators["annotator"].iloc[0] == "dan"
        assert found["worse"].to_dict() == {"ann": False, "ben": False, "cleo": False, "dan": True}
        right = (quality.consensus["label"].str[1:].astype(int) == truth).mean()
        majority = answers.groupby("example")["label"].agg(lambda said: said.mode()[0]).str[1:].astype(int)
        assert right > (majority.to_numpy() == truth).mean()
        assert right > 0.97

    def test_the_order_of_answers_does_not_matter(self):
        _, answers = make()
        one, other = (annotator_quality(each) for each in (answers, answers.sample(frac=1, random_state=0)))
        pd.testing.assert_frame_equal(one.annotators, other.annotators, rtol=1e-4)
        assert (one.consensus["label"] == other.consensus["label"]).all()
        assert one.alpha == pytest.approx(other.alpha)

    def test_those_who_always_agree_are_perfect(self):
        _, answers = make(dict.fromkeys(ACCURACY, 1.0), n=60)
        quality = annotator_quality(answers)
        assert quality.alpha == pytest.approx(1)
        assert quality.annotators["accuracy"].to_numpy() == pytest.approx(1, abs=1e-6)
        assert not list(annotator_issues(answers))

    def test_answers_at_random_have_no_agreement(self):
        assert annotator_quality(make(dict.fromkeys(ACCURACY, 1 / 3), n=600)[1]).alpha == pytest.approx(0, abs=0.06)

    def test_the_careless_one_is_named_with_answers_to_look_at(self):
        truth, answers = make()
        (one,) = annotator_issues(answers)
        assert (one.kind, one.subject, one.rows) == ("annotator", "dan", 400)
        assert one.score == pytest.approx(0.5, abs=0.1)
        said = answers[answers["annotator"] == "dan"].set_index("example")["label"].str[1:].astype(int)
        assert (said[list(one.examples)].to_numpy() != truth[list(one.examples)]).mean() > 0.8

    def test_an_example_each_says_nothing_of_agreement(self):
        answers = pd.DataFrame({"example": [0, 1], "annotator": ["a", "b"], "label": ["x", "y"]})
        assert np.isnan(annotator_quality(answers).alpha)
