import pytest

from labelwise.report.column_charts import association_map, densities, joint_view

COLUMNS = [{"name": "kind <b>", "label": True}, {"name": "size", "label": False}, {"name": "weight", "label": False}]
HOSTILE = '<script>alert("x")</script>'


def test_the_map_holds_every_pair_once():
    drawn = association_map(COLUMNS, [[1, 0.5, None], [0.5, 1, -0.25], [None, -0.25, 1]], "map")
    assert drawn.count("<title>") == 2
    assert "kind &lt;b&gt; *: 0.50" in drawn
    assert "size: -0.25" in drawn
    assert "the strongest: size and kind &lt;b&gt; *: 0.50" in drawn


def test_many_columns_have_cells_without_numbers():
    many = [{"name": f"c{at}", "label": False} for at in range(40)]
    drawn = association_map(many, [[0.111] * 40] * 40, "map")
    assert drawn.count("<title>") == 40 * 39 / 2
    assert ">.11<" not in drawn


def test_a_map_of_nothing_is_nothing():
    assert association_map(COLUMNS[:1], [[1.0]], "map") == ""
    assert association_map([], [], "map") == ""


def test_densities_are_counted_in_bars():
    drawn = densities({"counts": [1, 0, 3], "edges": [-4, -3, -2, -1]}, -3.5, "densities")
    assert drawn.count("<title>") == 2
    assert "-4 to -3: 1" in drawn
    assert "Log density of 4 rows" in drawn


@pytest.mark.parametrize(
    ("view", "marks"),
    [
        ({"form": "points", "x": [1, 2], "y": [3, 4]}, 0),
        ({"form": "ranges", "levels": [{"level": HOSTILE, "n": 4, "quantiles": [0, 1, 2, 3, 4]}]}, 1),
        ({"form": "counts", "rows": [HOSTILE, "b"], "columns": ["c", "d"], "counts": [[1, 0], [2, 3]]}, 3),
    ],
)
def test_joint_views_tell_of_their_marks_and_hold_no_markup(view: dict, marks: int):
    drawn = joint_view({"a": HOSTILE, "b": "b", **view}, "view")
    assert drawn.count("<title>") == marks
    assert "<script" not in drawn
    assert drawn == joint_view({"a": HOSTILE, "b": "b", **view}, "view")
