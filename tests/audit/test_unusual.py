import json

import numpy as np
import pytest

from labelwise.audit.unusual import unusual_rows
from labelwise.labels import LabelTable, Task, read


def made(n: int = 2000) -> LabelTable:
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 2, n)
    size = generator.normal(size=n) * 0.3 + 4 * codes
    size[7] = 4.0 * (1 - codes[7])  # the size of the other class
    weight = generator.normal(size=n)
    weight[11] = 40.0
    weight[12] = np.nan
    columns = {"size": size, "weight": weight, "name": np.array([f"row {i}" for i in range(n)], object), "y": codes}
    return LabelTable.from_columns(columns, [Task("y", classes=("small", "large"))], id="name")


def test_rows_that_do_not_fit_are_named_with_the_cells_that_do_not():
    facts = unusual_rows(made())
    assert facts["columns"] == ["y", "size", "weight"]
    lowest = {each["row"]: each for each in facts["lowest"]}
    assert {7, 11} <= set(lowest)
    assert lowest[11]["cells"][0] | {"surprise": 0} == {"column": "weight", "value": "40.0", "surprise": 0}
    assert {cell["column"] for cell in lowest[7]["cells"][:2]} == {"y", "size"}
    assert lowest[7]["id"] == "row 7"
    assert facts["unusual"] == 20
    assert sum(facts["histogram"]["counts"]) == facts["rows"] == 2000
    json.dumps(facts, allow_nan=False)


def test_it_is_the_same_each_time():
    assert unusual_rows(made()) == unusual_rows(made())


def test_too_little_to_model_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="there are 40 rows"):
        unusual_rows(made().select(np.arange(40)))
    with pytest.raises(ValueError, match="1 such columns"):
        unusual_rows(LabelTable.from_columns({"x": np.arange(100) / 7}, []))


def test_pictures_are_left_out():
    assert unusual_rows(read("digits"))["columns"] == ["digit", "holes"]


def test_a_large_table_is_sampled():
    generator = np.random.default_rng(0)
    n = 120_000
    table = LabelTable.from_columns({"a": generator.normal(size=n), "b": generator.normal(size=n)}, [])
    facts = unusual_rows(table)
    assert (facts["rows"], facts["sampled"], facts["fitted_on"]) == (100_000, True, 5_000)
    assert facts["components"] == 1
    assert facts["unusual"] == 1000
