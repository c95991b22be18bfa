import dataclasses
import subprocess
import sys

import pandas as pd
import pyarrow as pa
import pytest

from labelwise.labels import bundled, read
from labelwise.labels.readers import BUNDLED

FRAME = pd.DataFrame(
    {
        "size": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "species": ["a one", "a two", "b one", "a one", "b one", "a two"],
        "genus": ["a", "a", "b", "a", "b", "a"],
        "slide": [1, 1, 2, 2, 3, 3],
        "part": ["train", "Training", "val", " dev", "test", "TEST"],
        "code": list("uvwxyz"),
    }
)


def test_columns_get_their_roles():
    table = read(FRAME, ["species", "genus"], group="slide", split="part", id="code")
    assert table.feature_names == ["size"]
    assert table.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert table.data["part"].to_pylist() == ["train", "train", "validation", "validation", "test", "test"]
    assert table.ids.tolist() == list("uvwxyz")
    assert [task.name for task in table.tasks] == ["species", "genus"]


def test_parents_as_given():
    table = read(FRAME, ["species", "genus"], group="slide", parents={"species": "genus"})
    assert table.task("species").parent == "genus"
    with pytest.raises(ValueError, match="did you mean 'genus'"):
        read(FRAME, ["species", "genus"], parents={"species": "gennus"})
    with pytest.raises(ValueError, match="own ancestors"):
        read(FRAME, ["species", "genus"], parents={"species": "genus", "genus": "species"})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"labels": "specis"}, "no column 'specis'; did you mean 'species'"),
        ({"labels": "SPECIES"}, "did you mean 'species'"),
        ({"labels": "species", "group": "slides"}, "did you mean 'slide'"),
        ({"labels": ["species", "species"]}, "'species' was given 2 roles"),
        ({"labels": "species", "group": "species"}, "'species' was given 2 roles"),
        ({"labels": "species", "split": "genus"}, "got 'a' at row 0.*column genus"),
    ],
)
def test_roles_that_columns_cannot_play(settings, words):
    with pytest.raises(ValueError, match=words):
        read(FRAME, **settings)


def test_ids_must_be_there_and_should_differ():
    with pytest.raises(ValueError, match=r"missing at row 1.*column code"):
        read(FRAME.assign(code=["u", None, "w", "x", "y", "z"]), id="code")
    with pytest.warns(UserWarning, match="'a' stands in 4 rows"):
        read(FRAME, id="genus")


def test_columns_that_give_the_label_away_are_told_of():
    frame = pd.concat([FRAME] * 20, ignore_index=True).drop(columns=["part", "code", "slide"])
    with pytest.warns(UserWarning, match="species would be learned from, but nearly give the label genus away"):
        read(frame, "genus")


@pytest.mark.filterwarnings("error")
def test_the_finer_label_named_too_gives_nothing_away():
    frame = pd.concat([FRAME] * 20, ignore_index=True).drop(columns=["part", "code", "slide"])
    assert read(frame, ["species", "genus"]).task("species").parent == "genus"


def test_a_label_table_can_be_given_other_roles():
    table = read(FRAME, ["species", "genus"], parents={"species": "genus"})
    assert read(table) is not None
    assert read(table).tasks == table.tasks
    assert read(table, group="slide").group == "slide"
    assert read(table, split="part").rows("validation").tolist() == [2, 3]
    assert read(table, parents={}).task("species").parent is None
    one = read(table, "genus")
    assert [task.name for task in one.tasks] == ["genus"]
    assert "species" not in one.data.column_names
    emptied = dataclasses.replace(
        table, tasks=[dataclasses.replace(t, classes=(*t.classes, "zz")) for t in table.tasks]
    )
    assert read(emptied, "genus").task().classes == ("a", "b", "zz")


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.filterwarnings("error")
def test_bundled_data(name):
    table = bundled(name)
    assert table.data.equals(read(name).data)
    assert len(table) == {"digits": 1797, "wine": 178, "iris": 150, "breast_cancer": 569}[name]
    assert all(table.labels(task.name).min() >= 0 for task in table.tasks)


def test_digits_have_holes():
    table = bundled("digits")
    assert table.task("digit").parent == "holes"
    assert table.media == ("picture", "image")
    pairs = set(zip(table.data["digit"].to_pylist(), table.data["holes"].to_pylist(), strict=True))
    assert pairs == {(d, {"0": "1", "4": "1", "6": "1", "9": "1", "8": "2"}.get(d, "0")) for d in "0123456789"}
    assert read("digits", "digit").feature_names == ["picture"]
    pictures = table.data["picture"].combine_chunks().to_numpy_ndarray()
    assert (pictures.min(), pictures.max()) == (0, 255)


def test_missing_sources_suggest_near_names(tmp_path):
    (tmp_path / "birds.csv").write_text("a\n1\n")
    with pytest.raises(FileNotFoundError, match=r"did you mean 'birds\.csv'"):
        read(tmp_path / "brids.csv")
    with pytest.raises(FileNotFoundError, match="no folder 'nowhere'"):
        read(tmp_path / "nowhere" / "birds.csv")
    with pytest.raises(FileNotFoundError, match="did you mean 'digits'"):
        read("digit")
    with pytest.raises(ValueError, match="did you mean 'iris'"):
        bundled("irsi")


def test_forms_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "birds.xlsx").write_text("a")
    with pytest.raises(ValueError, match=r"ends in '\.xlsx'; what can be read is \.csv"):
        read(tmp_path / "birds.xlsx")
    (tmp_path / "empty.npz").write_text("")
    with pytest.raises(ValueError, match="is empty"):
        read(tmp_path / "empty.npz")
    with pytest.raises(ValueError, match="source is empty"):
        read("")
    with pytest.raises(ValueError, match="source must be"):
        read(7)


def test_a_folder_goes_before_a_bundled_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        read("digits")


def test_without_labels_features_alone_are_read():
    table = read(pa.table({"x": [1, 2]}))
    assert table.tasks == ()
    assert table.feature_names == ["x"]


def test_reading_needs_no_heavy_library():
    code = (
        "import sys, labelwise.labels as l; heavy = {'torch', 'sklearn', 'pandas', 'skrub', 'datasets'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
