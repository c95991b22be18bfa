"""What commands make of an audit once people have decided."""

import pandas as pd
import pytest
import sqlalchemy as sa
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from tests.cli.conftest import result

from labelwise import audit, read
from labelwise.review.database import open_database
from labelwise.review.filling import fill
from labelwise.review.schema import question
from labelwise.review.verdicts import record


@pytest.fixture
def run(tmp_path, monkeypatch):
    """An audit of iris with two wrong labels, of which the review says that one is right and the other a new class."""
    bunch = load_iris(as_frame=True)
    table = bunch.data.rename(columns=lambda name: name.replace(" (cm)", "").replace(" ", "_"))
    table["species"] = bunch.target_names[bunch.target].astype(object)
    table.loc[3, "species"] = "virginica"
    table.loc[140, "species"] = "setosa"
    table.to_csv(tmp_path / "irises.csv", index=False)
    monkeypatch.setenv("LABELWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    audit(read("irises.csv", "species"), run="run", models=LogisticRegression(max_iter=300), folds=3, quiet=True)
    with open_database(tmp_path / "run") as database:
        fill(database)
        for row, action, classes in ((3, "keep", ()), (140, "new_class", ("ensata",))):
            wanted = sa.select(question.c.id).where(question.c.item_id == row)
            number = database.read(lambda connection, wanted=wanted: connection.scalar(wanted))
            record(database, "ada", number, action, classes)
    return tmp_path / "run"


def test_export_tells_what_changed_and_why(labelwise, tmp_path, run):
    options = ("--corrected", "out.csv", "--diff", "diff.csv", "--json")
    found = result(labelwise("export", "run", *options, "--only-verdicts"))
    assert found["changed"] == {"species": {"relabelled": 1, "removed": 0}}
    assert pd.read_csv(tmp_path / "out.csv")["species"][[3, 140]].tolist() == ["virginica", "ensata"]
    (row,) = pd.read_csv(tmp_path / "diff.csv").to_dict("records")
    assert [row[name] for name in ("given", "corrected", "action", "who")] == ["setosa", "ensata", "label", "ada"]
    assert result(labelwise("export", "run", *options))["changed"]["species"]["relabelled"] > 1

    (run / "review.sqlite").unlink()
    told = labelwise("export", "run", "--corrected", "again.csv", "--only-verdicts", code=1).stderr
    assert "there is no review at" in told
    assert not (tmp_path / "again.csv").exists()


def test_fit_learns_from_verdicts_at_once(labelwise, tmp_path, run):
    options = ("--method", "cross-entropy", "--set", "epochs=3", "--json")
    fitted = result(labelwise("fit", "run", *options))
    assert fitted["run"].endswith("cross-entropy-verdict-2")
    labels = pd.read_parquet(tmp_path / fitted["run"] / "predictions.parquet")["species"]
    assert labels[[3, 140]].tolist() == ["virginica", "ensata"]
    assert "give the run folder" in labelwise("fit", "irises.csv", "--database", "sqlite:///x", code=2).stderr
