"""Every kind of bad input gets one line that names the place and the remedy, and exit code 1."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.cli.conftest import result


def flowers(rows: int = 60) -> pd.DataFrame:
    """Two easy classes and two columns of numbers."""
    generator = np.random.default_rng(0)
    kind = np.arange(rows) % 2
    columns = {"width": kind + generator.normal(0, 0.1, rows), "height": generator.normal(0, 1, rows)}
    return pd.DataFrame({**columns, "kind": np.where(kind, "rose", "tulip")})


def refused(labelwise, *words):
    done = labelwise("audit", *words, "--json", code=1)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize(
    ("column", "values", "hints"),
    [
        ("kind", [f"row-{row}" for row in range(60)], ["kind", "id"]),
        ("kind", np.linspace(0, 1, 60), ["kind", "real"]),
        ("kind", ["rose"] * 60, ["kind", "rose"]),
        ("kind", [None] * 60, ["kind"]),
    ],
    ids=["a row id", "real numbers", "one class", "no label at all"],
)
def test_a_label_column_that_is_none(labelwise, tmp_path, column, values, hints):
    flowers().assign(**{column: values}).to_csv(tmp_path / "flowers.csv", index=False)
    message = refused(labelwise, "flowers.csv", "--label", "kind")
    assert all(hint in message for hint in hints), message


def test_a_broken_encoding_is_named(labelwise, tmp_path):
    text = flowers().to_csv(index=False).replace("tulip", "tulipe d'été")
    (tmp_path / "flowers.csv").write_bytes(text.encode("utf-8")[:800] + "\nä,1,rose\n".encode("latin-1"))
    message = refused(labelwise, "flowers.csv", "--label", "kind")
    assert "UTF-8" in message
    assert "flowers.csv" in message


def test_a_line_with_too_many_cells_is_named(labelwise, tmp_path):
    (tmp_path / "flowers.csv").write_text(flowers().to_csv(index=False) + "1,2,rose,4\n")
    message = refused(labelwise, "flowers.csv", "--label", "kind")
    assert "flowers.csv" in message
    assert any(place in message for place in ("60", "61", "62")), message


def test_an_empty_file_is_named(labelwise, tmp_path):
    (tmp_path / "flowers.csv").write_text("")
    assert "flowers.csv" in refused(labelwise, "flowers.csv", "--label", "kind")


def test_infinite_features_are_taken_as_missing_with_a_word(labelwise, tmp_path):
    table = flowers()
    table.loc[7, "width"] = np.inf
    table.loc[9, "height"] = np.nan
    table.to_csv(tmp_path / "flowers.csv", index=False)
    done = labelwise("audit", "flowers.csv", "--label", "kind", "--folds", "3", "--out", "run", "--json")
    assert "warning: " in done.stderr
    assert "width" in done.stderr
    assert "7" in done.stderr
    assert result(done)["data"]["rows"] == 60


@pytest.mark.parametrize(
    ("probabilities", "hints"),
    [
        (np.full((60, 3), 1 / 3), ["3", "2"]),
        (np.full((59, 2), 1 / 2), ["59", "60"]),
        (np.full((60, 2), 0.6), ["row 0", "sum"]),
        (np.full((60, 2), [1.5, -0.5]), ["row 0"]),
        (np.full((60, 2), np.nan), ["row 0"]),
    ],
    ids=["columns", "rows", "sum", "negative", "nan"],
)
def test_probabilities_that_cannot_be(labelwise, tmp_path, probabilities, hints):
    flowers().to_csv(tmp_path / "flowers.csv", index=False)
    np.save(tmp_path / "p.npy", probabilities)
    message = refused(labelwise, "flowers.csv", "--label", "kind", "--probabilities", "p.npy")
    assert all(hint in message for hint in hints), message


def test_probabilities_nearly_summing_to_one_are_mended_with_a_warning(labelwise, tmp_path):
    flowers().to_csv(tmp_path / "flowers.csv", index=False)
    given = np.eye(2)[1 - np.arange(60) % 2] * 0.8 + 0.1
    given[3] = [0.9, 0.1]
    np.save(tmp_path / "p.npy", given * 1.0005)
    options = ("--label", "kind", "--probabilities", "p.npy", "--out", "run", "--json")
    done = labelwise("audit", "flowers.csv", *options)
    assert "warning: " in done.stderr
    assert result(done)["audit"]["flagged"] <= 1


def test_embeddings_with_a_nan_are_refused(labelwise, tmp_path):
    flowers().to_csv(tmp_path / "flowers.csv", index=False)
    embeddings = np.zeros((60, 4))
    embeddings[5, 1] = np.nan
    np.save(tmp_path / "e.npy", embeddings)
    assert "row 5" in refused(labelwise, "flowers.csv", "--label", "kind", "--embeddings", "e.npy")


def test_a_pickle_is_never_loaded(labelwise, tmp_path):
    np.savez(tmp_path / "flowers.npz", kind=np.array(["rose", "tulip"] * 30, dtype=object), x=np.zeros((60, 2)))
    assert "pickle" in refused(labelwise, "flowers.npz", "--label", "kind")


def test_a_corrupt_image_is_a_finding_and_the_run_goes_on(labelwise, tmp_path):
    generator = np.random.default_rng(0)
    for kind, shade in (("rose", 200), ("tulip", 60)):
        (tmp_path / "flowers" / kind).mkdir(parents=True)
        for number in range(30):
            pixels = generator.normal(shade, 20, (12, 12, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "flowers" / kind / f"{number:02}.png")
    broken = tmp_path / "flowers" / "rose" / "04.png"
    broken.write_bytes(broken.read_bytes()[:70])
    labelwise("audit", "flowers", "--folds", "3", "--out", "run", "--json")
    findings = pq.read_table(tmp_path / "run" / "issues.parquet").to_pandas()
    unreadable = findings[findings["kind"] == "unreadable"]
    assert list(unreadable["id"]) == ["rose/04.png"]
    assert len(findings) < 10


def test_another_configuration_in_the_same_folder_is_refused(labelwise, tmp_path):
    flowers().to_csv(tmp_path / "flowers.csv", index=False)
    options = ("flowers.csv", "--label", "kind", "--folds", "3", "--out", "run")
    labelwise("audit", *options)
    assert "seed" in refused(labelwise, *options, "--seed", "1")


def test_data_that_changed_under_the_same_name_are_refused(labelwise, tmp_path):
    flowers().to_csv(tmp_path / "flowers.csv", index=False)
    options = ("flowers.csv", "--label", "kind", "--folds", "3", "--out", "run")
    labelwise("audit", *options)
    flowers(70).to_csv(tmp_path / "flowers.csv", index=False)
    assert "run" in refused(labelwise, *options)


def test_a_wrong_method_is_told_before_anything_is_fitted(labelwise, tmp_path):
    flowers().to_csv(tmp_path / "flowers.csv", index=False)
    message = refused(labelwise, "flowers.csv", "--label", "kind", "--model", "crossentropy", "--out", "run")
    assert "did you mean 'cross-entropy'?" in message
    assert not (tmp_path / "run").exists()


def test_quiet_commands_say_nothing_of_the_pictures_they_read(labelwise, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (2000, 8, 8), np.uint8)
    files = []
    for picture in pictures:
        Image.fromarray(picture).save(tmp_path / "picture.png")
        files.append(np.frombuffer((tmp_path / "picture.png").read_bytes(), np.uint8))
    ends = np.cumsum([0, *map(len, files)])
    kind = np.arange(2000) % 2
    np.savez(tmp_path / "pictures.npz", image=np.concatenate(files), image_offsets=ends, kind=kind)
    words = ("pictures.npz", "--label", "kind", "--quiet", "--labels-only", "--out", "run")
    assert labelwise("audit", *words).stderr == ""
    words = ("run", "--method", "cross-entropy", "--set", "epochs=1", "--json")
    assert labelwise("fit", *words).stderr == ""


def test_what_people_say_is_checked_before_anything_is_read(labelwise, tmp_path):
    (tmp_path / "about.yaml").write_text("metadata: {licens: MIT}")
    done = labelwise("audit", "nowhere.csv", "--about", "about.yaml", code=1)
    complaint = done.stderr.strip()
    assert complaint.startswith(
        "error: about.yaml: metadata has no field 'licens'; did you mean 'licence'? (fields: title,"
    )
    assert "\n" not in complaint
    (tmp_path / "about.yaml").write_text("variables: {petal: How long}")
    done = labelwise("audit", "iris", "--about", "about.yaml", code=1)
    assert done.stderr.startswith("error: about.yaml: variables names no column: iris has no column 'petal' (columns:")
    assert labelwise("audit", "iris", "--about", "none.yaml", code=1).stderr.startswith("error: [Errno 2]")


@pytest.mark.parametrize(
    "words",
    [("--labels-only", "--model", "plm"), ("--probabilities", "p.npy", "--model", "plm")],
    ids=lambda words: words[0],
)
def test_options_that_would_do_nothing_are_refused(labelwise, words):
    assert "leave --model" in labelwise("audit", "iris", *words, code=2).stderr


def test_a_torchvision_that_was_made_for_another_torch_is_told_with_the_remedy(labelwise, monkeypatch):
    def fail(source):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("labelwise.labels.read_boxes", fail)
    told = labelwise("fit", "cells.json", "--task", "boxes", code=1).stderr
    assert told.startswith("error: torchvision is not the one made for this torch (operator torchvision::nms does not")
    assert told.rstrip().endswith("install both anew from one place")
