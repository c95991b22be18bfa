import gzip

import pytest
from PIL import Image

from labelwise.labels import read

GUIDES = {"genus": "alpha\nbeta\ngamma", "species": "alpha one\nalpha two\nbeta one"}
FILES = {
    "genus_final_train": "a/1.tif,0\na/2.tif, 0\nb/1.tif,1\n",
    "genus_final_val": "a/3.tif,0\n",
    "genus_final_test": "g/1.tif,2\n",
    "species_final_train": "b/1.tif,2\na/2.tif,1\nonly/here.tif,0\n",
    "genus_CL_train": "a/1.tif,0\nb/1.tif,1\n",
}


pytestmark = pytest.mark.filterwarnings("ignore:column path names image files, but:UserWarning")


@pytest.fixture
def folder(tmp_path):
    for target, names in GUIDES.items():
        (tmp_path / f"shells_{target}_final_guide.txt").write_text(names)
    for name, text in FILES.items():
        (tmp_path / f"shells_{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    return tmp_path


def test_one_phase(folder):
    table = read(folder / "shells_genus_final_train.csv.gz")
    assert table.data.to_pydict() == {"path": ["a/1.tif", "a/2.tif", "b/1.tif"], "genus": ["alpha", "alpha", "beta"]}
    assert table.tasks[0].classes == ("alpha", "beta", "gamma")
    assert table.id == "path"
    assert table.media is None
    assert table.feature_names == []


@pytest.mark.parametrize("name", ["shells_genus_final", "shells_genus_final_*.csv.gz", "shells_genus_final_*"])
def test_all_phases_of_a_target(folder, name):
    table = read(folder / name, "genus")
    assert table.data["split"].to_pylist() == ["train"] * 3 + ["validation", "test"]


def test_all_targets_are_joined_by_path(folder):
    table = read(folder)
    assert [task.name for task in table.tasks] == ["genus", "species"]
    rows = {row["path"]: (row["genus"], row["species"], row["split"]) for row in table.data.to_pylist()}
    assert rows == {
        "a/1.tif": ("alpha", None, "train"),
        "a/2.tif": ("alpha", "alpha two", "train"),
        "b/1.tif": ("beta", "beta one", "train"),
        "a/3.tif": ("alpha", None, "validation"),
        "g/1.tif": ("gamma", None, "test"),
        "only/here.tif": (None, "alpha one", "train"),
    }
    assert read(folder, ["species", "genus"]).tasks[0].name == "species"


def test_images_beside_the_label_files_are_read(folder):
    for name in ("a/1.tif", "a/2.tif"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(folder / name)
    table = read(folder / "shells_genus_final_train.csv.gz")
    assert table.media == ("image", "image")
    assert list(table.unreadable) == [2]


def test_a_project_without_guide_has_numbers_for_names(folder):
    with pytest.warns(UserWarning, match=r"no shells_genus_CL_guide\.txt"):
        assert read(folder / "shells_genus_CL_train.csv.gz").tasks[0].classes == ("0", "1")


def test_a_table_with_a_header_is_no_label_file(folder):
    (folder / "birds_genus_wild_train.csv").write_text("size,kind\n1,a\n2,b\n")
    assert read(folder / "birds_genus_wild_train.csv", "kind").feature_names == ["size"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a/1.tif,0\na/2.tif,3\n", r"index in \[0, 3\) of shells_genus_final_guide.txt; got '3' in line 2"),
        ("a/1.tif,alpha\n", "got 'alpha' in line 1"),
        ("a/1.tif,0\na/2.tif\n", "2 fields in every line.*line 2"),
        ("a/1.tif,0\na/1.tif,1\n", "'a/1.tif' is labelled twice"),
    ],
)
def test_broken_lines_are_named(folder, text, words):
    (folder / "shells_genus_final_train.csv.gz").write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ValueError, match=words):
        read(folder / "shells_genus_final_train.csv.gz")


def test_what_does_not_fit_together_is_refused(folder):
    with pytest.raises(ValueError, match="labels for genus, species; got 'family'"):
        read(folder, "family")
    (folder / "shells_species_final_test.csv").write_text("a/1.tif,0\n")
    with pytest.raises(ValueError, match=r"'a/1.tif' is train in one target and test in species"):
        read(folder)
