from pathlib import Path

import pytest

from labelwise.labels import associations, read
from labelwise.report.columns import association_facts, reference_facts, unusual_facts
from labelwise.report.plain import Missing
from labelwise.runs import write_json


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    write_json(tmp_path / "associations.json", associations(read("iris")))
    return tmp_path / "associations.json"


def test_pairs_come_strongest_first_and_once_each(iris: Path):
    strongest = association_facts(iris)["strongest"]
    assert len(strongest) == 10
    assert {strongest[0]["a"], strongest[0]["b"]} == {"species", "petal length (cm)"}
    sizes = [abs(pair["value"]) for pair in strongest]
    assert sizes == sorted(sizes, reverse=True)
    measures = {pair["measure"] for pair in strongest}
    assert measures == {"Pearson's r", "correlation ratio"}


def test_trusted_columns_are_set_beside_all_others(iris: Path):
    facts = association_facts(iris)
    assert reference_facts(facts, []) is None
    pairs = reference_facts(facts, ["petal width (cm)"])
    assert len(pairs) == 4
    assert {pair["a"] for pair in pairs} == {"petal width (cm)"}
    with pytest.raises(ValueError, match="reference names 'rain', which is no column"):
        reference_facts(facts, ["rain"])
    with pytest.raises(Missing, match=r"no associations\.json"):
        reference_facts(None, ["rain"])


def test_matrices_must_fit_the_columns(iris: Path):
    facts = associations(read("iris"))
    facts["both"] = facts["both"][:-1]
    write_json(iris, facts)
    with pytest.raises(ValueError, match="both should have a row and a column for each of 5 columns"):
        association_facts(iris)


def test_a_reason_takes_the_place_of_unusual_rows(tmp_path: Path):
    path = tmp_path / "unusual.json"
    write_json(path, {"why_not": "too few rows"})
    with pytest.raises(Missing, match="too few rows"):
        unusual_facts(path)
    write_json(path, {"rows": 3})
    with pytest.raises(ValueError, match=r"unusual\.json should hold"):
        unusual_facts(path)
