from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from labelwise.audit import apply_corrections, corrected, export_corrected, run_audit
from labelwise.labels import read
from labelwise.report import to_dict


@pytest.fixture
def flowers(tmp_path):
    """A CSV file with two linked tasks, and probabilities under which two of its labels are wrong."""
    genus = np.array(["rosa", "tulipa"])[np.arange(40) % 2]
    species = np.char.add(genus, np.where(np.arange(40) % 4 < 2, " alba", " rubra"))
    path = tmp_path / "flowers.csv"
    pd.DataFrame({"id": np.arange(100, 140), "width": np.arange(40.0), "genus": genus, "species": species}).to_csv(
        path, index=False
    )
    table = read(path, ["genus", "species"], id="id")
    likely = {}
    for task in table.tasks:
        shares = np.full((40, len(task.classes)), 0.1 / (len(task.classes) - 1))
        truth = table.labels(task.name)
        truth[[4, 9]] = truth[[5, 10]]  # rows 4 and 9 look like their neighbours
        shares[np.arange(40), truth] = 0.9
        likely[task.name] = shares
    return path, table, likely


def test_export_holds_what_the_corrections_are(tmp_path, flowers):
    _, table, likely = flowers
    findings, run = run_audit(table, run=tmp_path / "run", probabilities=likely, quiet=True)
    right = apply_corrections(table, findings)
    for name in ("out.csv", "out.parquet"):
        changed = export_corrected(run, tmp_path / name)
        got = pd.read_csv(tmp_path / name) if name.endswith("csv") else pd.read_parquet(tmp_path / name)
        assert list(got["id"].astype(int)) == list(range(100, 140))
        for task in table.tasks:
            assert list(got[task.name]) == right.data[task.name].to_pylist()
            assert list(got[f"given_{task.name}"]) == table.data[task.name].to_pylist()
            differs = int((got[task.name] != got[f"given_{task.name}"]).sum())
            assert changed[task.name] == {"relabelled": differs, "removed": 0}
    assert changed["species"]["relabelled"] == 2


def test_corrected_reads_the_source_again(tmp_path, flowers):
    path, table, likely = flowers
    findings, run = run_audit(table, run=tmp_path / "run", probabilities=likely, quiet=True)
    again = corrected(run)
    assert again.feature_names == ["width"]
    for task in table.tasks:
        assert np.array_equal(again.labels(task.name), apply_corrections(table, findings).labels(task.name))

    path.write_text(path.read_text().replace("rosa alba", "rosa rubra", 1))
    with pytest.raises(ValueError, match=r"labels of 'species' in .*flowers\.csv have changed since the audit"):
        corrected(run)


def test_an_unfinished_run_and_another_kind_of_file_are_refused(tmp_path, flowers):
    _, table, likely = flowers
    run = run_audit(table, run=tmp_path / "run", probabilities=likely, quiet=True).run
    with pytest.raises(ValueError, match=r"as \.parquet or \.csv; got 'out\.txt'"):
        export_corrected(run, tmp_path / "out.txt")
    (run / "issues.parquet").unlink()
    with pytest.raises(ValueError, match="is not finished"):
        export_corrected(run, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_run_is_used_from_any_folder(tmp_path, flowers, monkeypatch):
    path, _, likely = flowers
    monkeypatch.chdir(tmp_path)
    run = run_audit(read(path.name, ["genus", "species"]), run=tmp_path / "run", probabilities=likely, quiet=True).run
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(corrected(run)) == 40
    path.rename(tmp_path / "moved.csv")
    with pytest.raises(FileNotFoundError, match=r"flowers\.csv', which cannot be read again; put the file back"):
        corrected(run)


def test_what_is_no_audit_and_no_file_is_told(tmp_path, flowers):
    _, table, likely = flowers
    run = run_audit(replace(table, source="data frame"), run=tmp_path / "run", probabilities=likely, quiet=True).run
    with pytest.raises(FileNotFoundError, match=r"'data frame'.*apply_corrections"):
        corrected(run)
    (tmp_path / "config.yaml").write_text("method: dselect-k\n")
    with pytest.raises(ValueError, match="not a run of `labelwise audit`"):
        export_corrected(tmp_path, tmp_path / "out.csv")


@pytest.mark.parametrize("names", [("id", "given_id"), ("group", "split"), ("example", "x" * 300), ("属/..", ".a b")])
def test_tasks_of_any_name_keep_it(tmp_path, flowers, names):
    path, _, likely = flowers
    frame = pd.read_csv(path).rename(columns={"id": "number", "genus": names[0], "species": names[1]})
    frame["where"] = frame["number"] // 2
    table = read(frame, names, id="number", group="where", parents={})
    likely = dict(zip(names, likely.values(), strict=True))
    run = run_audit(table, run=tmp_path / "run", probabilities=likely, quiet=True).run
    kept = pd.read_parquet(run / "labels.parquet")
    assert kept.columns.is_unique
    assert (kept[list(names)] == frame[list(names)]).all(axis=None)
    export_corrected(run, tmp_path / "out.csv")
    given = pd.read_csv(tmp_path / "out.csv")
    assert len(given.columns) == 5
    assert given.iloc[:, 0].tolist() == frame["number"].tolist()
    assert given.iloc[:, 3:].to_numpy().tolist() == frame[list(names)].to_numpy().tolist()
    assert set(to_dict(run)["cross_fit"]["tasks"]) == set(names)
