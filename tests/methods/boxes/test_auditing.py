import pytest
from tests.methods.boxes.samples import squares, stopped_at

from labelwise import report
from labelwise.labels import Boxes, BoxTable
from labelwise.methods.boxes import audit_boxes, load_detector

WORDS = {"folds": 2, "options": {"epochs": 2, "side": 64, "batch_size": 3}, "quiet": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return audit_boxes(squares(12), out=tmp_path_factory.mktemp("audit") / "run", **WORDS)


def test_a_finished_audit_is_given_back_and_is_no_model(run):
    before = (run / "issues.parquet").stat().st_mtime_ns
    assert audit_boxes(squares(12), out=run, **WORDS) == run
    assert (run / "issues.parquet").stat().st_mtime_ns == before
    assert not list(run.glob("fold-*"))
    assert report.to_dict(run)["boxes"] is None
    with pytest.raises(ValueError, match="holds no detector"):
        load_detector(run)
    with pytest.raises(ValueError, match="holds a run with other settings"):
        audit_boxes(squares(12), out=run, **WORDS | {"folds": 3})


@pytest.mark.parametrize("call", [3, 7])
def test_an_audit_that_was_stopped_ends_with_the_same_findings(run, tmp_path, monkeypatch, call):
    """Each of the two folds takes four steps."""
    with stopped_at(call, monkeypatch):
        audit_boxes(squares(12), out=tmp_path / "run", **WORDS)
    assert list(tmp_path.glob("run/fold-*"))
    again = audit_boxes(squares(12), out=tmp_path / "run", **WORDS)
    for name in ("boxes.parquet", "issues.parquet", "metrics.json"):
        assert (again / name).read_bytes() == (run / name).read_bytes(), name


def test_pictures_without_any_box_are_refused(tmp_path):
    table = squares(4)
    empty = BoxTable(table.names, table.images, [Boxes.none()] * 4, table.classes, table.split, "empty.json")
    with pytest.raises(ValueError, match=r"pictures of empty\.json have no box at all"):
        audit_boxes(empty, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
