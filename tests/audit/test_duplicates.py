import numpy as np
import pyarrow as pa
import pytest

from labelwise.audit.duplicates import duplicate_findings, find_twins, repeated
from labelwise.labels import LabelTable, Task

TASK = [Task("y", "single", ("a", "b", "c"))]


def make(column, codes, media=None, **more) -> LabelTable:
    return LabelTable.from_columns({"x": column, "y": np.asarray(codes)} | more, TASK, media=media)


def distinct(n: int, width: int = 4) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, width))


@pytest.mark.parametrize("form", ["tensor", "pictures", "bytes", "text", "list", "numbers"])
def test_identical_content_is_found_in_every_form(form):
    rows = distinct(20)
    rows[[3, 11]] = rows[7]
    more = {}
    match form:
        case "tensor":
            column = rows
        case "pictures":
            column = rows.reshape(20, 2, 2)
        case "bytes":
            column = pa.array([row.tobytes() for row in rows], pa.binary())
        case "text":
            column = [f"words {row[0]}" for row in rows]
        case "list":
            column = pa.array([row.tolist() for row in rows])
        case "numbers":
            column, more = rows[:, 0], {f"x{i}": rows[:, i] for i in range(1, 4)}
    media = {"bytes": ("x", "image"), "text": ("x", "text")}.get(form)
    table = make(column, [0] * 11 + [1] + [0] * 8, media, **more)
    twins = find_twins(table)
    assert twins.too_coarse is None
    assert [np.flatnonzero(twins.sets == each).tolist() for each in np.unique(twins.sets[[3, 0]])] in (
        [[3, 7, 11], [0]],
        [[0], [3, 7, 11]],
    )
    (finding,) = duplicate_findings(table, twins.sets, {})
    assert (finding.example, finding.given, finding.suggested, finding.kind) == (11, "b", "a", "duplicate")
    assert finding.score == pytest.approx(2 / 3)
    assert "identical to row 3, which is labelled 'a'" in finding.why


def test_two_differing_twins_are_both_named_unless_models_tell():
    rows = distinct(20)
    rows[5] = rows[2]
    table = make(rows, [0] * 5 + [1] + [-1] * 14)
    sets = find_twins(table).sets
    assert [(f.example, f.suggested) for f in duplicate_findings(table, sets, {})] == [(2, None), (5, None)]
    sure = np.tile([0.1, 0.8, 0.1], (20, 1))
    assert [(f.example, f.suggested) for f in duplicate_findings(table, sets, {"y": sure})] == [(2, "b")]


def test_equal_labels_are_counted_only_and_missing_ones_do_not_differ():
    rows = distinct(20)
    rows[[1, 2]], rows[4] = rows[0], rows[3]
    table = make(rows, [0, 0, 0, 1, -1] + [2] * 15)
    twins = find_twins(table)
    assert not list(duplicate_findings(table, twins.sets, {}))
    assert repeated(table, twins.sets) == 2


def test_only_the_media_count_and_rows_without_any_are_left_out():
    contents = [b"1", b"2", None, None, b"1"]
    table = make(pa.array(contents, pa.binary()), [0, 1, 0, 1, 1], ("x", "image"), size=[1, 2, 3, 4, 5])
    twins = find_twins(table)
    assert twins.sets[2] == twins.sets[3] == -1
    assert [f.example for f in duplicate_findings(table, twins.sets, {})] == [0, 4]


def test_columns_of_few_values_say_nothing():
    generator = np.random.default_rng(0)
    table = make(generator.integers(0, 3, 100), generator.integers(0, 3, 100), size=generator.integers(0, 4, 100))
    assert "100 rows repeat" in find_twins(table).too_coarse
    assert "2 of 20 rows repeat" in find_twins(make(np.arange(20.0) // 1.1 // 1, np.zeros(20, int))).too_coarse
    assert find_twins(LabelTable.from_columns({"y": [0, 1]}, TASK)).sets.tolist() == [-1, -1]
