import numpy as np
import pandas as pd
import pytest

from labelwise.audit import Finding, apply_corrections
from labelwise.audit.findings import as_frame
from labelwise.labels import LabelTable, Task


def make() -> LabelTable:
    return LabelTable.from_columns(
        {
            "species": np.array([0, 0, 0, 1, 1, 2, 2, 2, -1]),
            "genus": np.array([0, 0, 0, 0, 0, 1, 1, 1, 1]),
            "family": np.array([0, 0, 0, 0, -1, 1, 1, 1, 1]),
        },
        [
            Task("family", "single", ("felid", "canid")),
            Task("species", "single", ("cat", "lynx", "dog"), parent="genus"),
            Task("genus", "single", ("feline", "canine"), parent="family"),
        ],
    )


def finding(example, suggested, task="species", kind="label", score=0.9):
    return Finding(example, task, kind, score, "x", suggested, "")


def correct(*found: Finding) -> dict[str, list[int]]:
    table = apply_corrections(make(), as_frame(found))
    return {task.name: table.labels(task.name).tolist() for task in table.tasks}


def test_nothing_found_changes_nothing():
    assert apply_corrections(make(), as_frame([])).data.equals(make().data)


def test_labels_are_replaced_or_removed_and_parents_follow_changed_children():
    after = correct(finding(0, "dog"), finding(1, None), finding(2, "lynx"))
    assert after["species"] == [2, -1, 1, 1, 1, 2, 2, 2, -1]
    assert after["genus"] == [1, 0, 0, 0, 0, 1, 1, 1, 1]
    assert after["family"] == [1, 0, 0, 0, -1, 1, 1, 1, 1]


def test_a_missing_parent_stays_missing_and_a_missing_child_can_be_filled():
    after = correct(finding(4, "dog"), finding(8, "cat"))
    assert after["species"][4] == 2
    assert after["genus"][4] == 1
    assert after["family"][4] == -1
    assert (after["species"][8], after["genus"][8]) == (0, 0)


def test_a_finding_about_the_parent_itself_wins():
    after = correct(finding(0, "dog"), finding(0, "feline", task="genus", score=0.1))
    assert (after["species"][0], after["genus"][0], after["family"][0]) == (2, 0, 0)


def test_taxonomy_counts_as_suggested_and_the_worst_finding_decides():
    after = correct(finding(0, "canine", "genus", "taxonomy"), finding(1, None, "genus", "taxonomy"))
    assert after["genus"][:2] == [1, 0]
    assert correct(finding(0, "dog", score=0.5), finding(0, "lynx", score=0.6))["species"][0] == 1
    assert correct(finding(0, "dog", kind="taxonomy", score=0.5), finding(0, None, score=0.4))["species"][0] == 2


def test_unreadable_examples_lose_all_labels_and_duplicates_keep_theirs():
    after = correct(
        finding(0, None, None, "unreadable"),
        finding(0, "dog"),
        finding(1, "dog", kind="duplicate"),
        finding(2, "dog", kind="near_duplicate"),
    )
    assert [after[name][0] for name in after] == [-1, -1, -1]
    assert after["species"][1:3] == [0, 0]


def test_findings_read_back_by_pandas_alone_do_as_well(tmp_path):
    as_frame([finding(0, None), finding(1, "dog")]).to_parquet(tmp_path / "found.parquet")
    table = apply_corrections(make(), pd.read_parquet(tmp_path / "found.parquet"))
    assert table.labels("species")[:2].tolist() == [-1, 2]


def test_findings_about_another_table_are_refused():
    with pytest.raises(ValueError, match="about row 9, but table has 9 rows"):
        correct(finding(9, "dog"))
    with pytest.raises(ValueError, match=r"suggests 'wolf', which is not a class of task 'species' \(cat, lynx, dog\)"):
        correct(finding(0, "wolf"))
