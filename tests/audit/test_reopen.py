import numpy as np
import pandas as pd
import pytest

from labelwise.audit import apply_corrections, corrected, export_corrected, run_audit
from labelwise.labels import read


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
