import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.report.conftest import NOTHING, write_audit

from labelwise import report
from labelwise.labels import read
from labelwise.runs import read_json

ABOUT = {
    "metadata": {"title": "Two kinds", "licence": "CC0-1.0", "url": "somewhere", "released": "2026-01-31"},
    "provenance": {"authors": ["A", "B"], "labelling": "By two people"},
    "variables": {"a size": {"meaning": "How large", "unit": "cm"}},
    "uses": [{"use": "Teaching", "fit": "restricted", "why": "Small"}],
    "alerts": [{"what": "Few rows"}],
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "two kinds.csv"
    columns = {"a size": np.arange(60) / 7, "a_size": range(60), "wild": [True, False] * 30, "y": list("pq") * 30}
    pd.DataFrame(columns).to_csv(path, index=False)
    folder = write_audit(tmp_path / "run", read(path, "y", parents={}), NOTHING)
    (folder / "about.yaml").write_text(yaml.safe_dump(ABOUT))
    report.write(folder)
    return folder


def test_required_fields_are_those_that_people_gave(run: Path):
    told = read_json(run / "croissant.json")
    assert (told["@type"], told["name"], told["license"]) == ("sc:Dataset", "Two kinds", "CC0-1.0")
    assert told["conformsTo"][0].endswith("/croissant/1.0")
    assert told["datePublished"] == "2026-01-31"
    assert [maker["name"] for maker in told["creator"]] == ["A", "B"]
    assert (
        told["description"] == "two kinds.csv: 60 rows with labels y (2 classes)." or "60 rows" in told["description"]
    )
    assert told["rai:dataUseCases"] == ["Teaching (restricted: Small)"]
    assert told["rai:dataAnnotationProtocol"] == "By two people"
    assert "Few rows" in told["rai:dataLimitations"]
    assert "citeAs" not in told
    assert None not in told.values()


def test_every_column_is_a_field_of_the_file(run: Path):
    told = read_json(run / "croissant.json")
    (file,) = told["distribution"]
    assert (file["name"], file["encodingFormat"]) == ("two kinds.csv", "text/csv")
    assert len(file["sha256"]) == 64
    fields = {field["name"]: field for field in told["recordSet"][0]["field"]}
    assert list(fields) == ["y", "a size", "a_size", "wild"]
    ids = [field["@id"] for field in fields.values()]
    assert len(set(ids)) == len(ids)
    assert not any(" " in each for each in ids)
    assert fields["y"]["dataType"] == ["sc:Text", "cr:Label"]
    assert [fields[name]["dataType"] for name in ("a size", "a_size", "wild")] == [
        "sc:Float",
        "sc:Integer",
        "sc:Boolean",
    ]
    assert fields["a size"]["description"] == "How large [cm]"
    for name, field in fields.items():
        assert field["source"] == {"fileObject": {"@id": file["@id"]}, "extract": {"column": name}}


def test_terms_of_its_own_are_in_the_context(run: Path):
    told = read_json(run / "croissant.json")
    for term in ("recordSet", "field", "source", "fileObject", "extract", "column", "citeAs"):
        assert told["@context"][term] == f"cr:{term}"


def test_a_run_without_file_or_answers_is_described_all_the_same(digits_run: Path, hostile_run: Path):
    for run in (digits_run, digits_run / "raw", hostile_run):
        told = json.loads(json.dumps(report.page.to_croissant(report.to_dict(run), "name")))
        assert told["name"] == "name"
        assert "distribution" not in told
        assert "recordSet" not in told
