"""Each form of source on real data, with the counts that their publishers give."""

import numpy as np
import pytest

from labelwise.labels import contradictions, describe, folds, read, split

pytestmark = pytest.mark.data


def test_frog_calls(data):
    table = read(data / "frog-calls" / "frogs_mfcc.csv.gz", ["Family", "Genus", "Species"], group="RecordID")
    assert {task.name: (len(task.classes), task.parent) for task in table.tasks} == {
        "Family": (4, None),
        "Genus": (8, "Family"),
        "Species": (10, "Genus"),
    }
    assert describe(table)["groups"]["number"] == 60
    assert len(table.feature_names) == 22
    assert len(contradictions(table)) == 0
    groups = table.groups
    for dealt in (folds(table, "Species"), split(table)):
        assert all(len(set(dealt[groups == group])) == 1 for group in np.unique(groups))


def test_grocery(data):
    table = read(data / "grocery" / "grocery.npz", ["fine", "coarse", "top"], quiet=True)
    assert {task.name: (len(task.classes), task.parent) for task in table.tasks} == {
        "fine": (81, "coarse"),
        "coarse": (43, "top"),
        "top": (3, None),
    }
    assert table.media == ("jpeg", "image")
    assert not table.unreadable
    assert describe(table)["splits"] == {"train": 2640, "validation": 296, "test": 2485}
    row = table.data.select(["fine", "coarse", "top"]).slice(0, 1).to_pylist()[0]
    assert row == {"fine": "Golden-Delicious", "coarse": "Apple", "top": "Fruit"}


@pytest.mark.filterwarnings("ignore:column path names image files, but:UserWarning")
def test_noisy_ostracods(data):
    folder = data / "noisy-ostracods"
    table = read(folder, ["genus", "species"])
    genus, species = describe(table)["tasks"]
    assert (genus["classes"], genus["labelled"], genus["imbalance_factor"], genus["rare"]) == (79, 80582, 22429, 27)
    assert (species["classes"], species["labelled"]) == (139, 63961)
    assert table.task("species").parent == "genus"
    assert table.media is None
    alone = read(folder / "ostracods_genus_final")
    assert describe(alone)["splits"] == {"train": 66352, "validation": 7117, "test": 7113}
    counts = describe(alone)["tasks"][0]["counts"]
    assert (counts["negative"], counts["cyprideis"], counts["sinocytheridea"]) == (9117, 12, 22429)


@pytest.mark.parametrize(
    ("file", "labels", "rows", "classes", "media"),
    [
        ("mnist/mnist.npz", "y", 70_000, 10, "image"),
        ("spoken-digits/fsdd.npz", ["digit", "speaker"], 3000, 10, "audio"),
        ("label-errors/mnist_test.npz", "labels", 10_000, 10, None),
        ("label-errors/imdb_test.npz", "labels", 25_000, 2, None),
        ("label-errors/20news_test.npz", "labels", 7532, 20, None),
    ],
)
def test_archives(data, file, labels, rows, classes, media):
    table = read(data / file, labels, quiet=True)
    assert len(table) == rows
    assert len(table.tasks[0].classes) == classes
    assert (table.media[1] if table.media else None) == media
    assert not table.unreadable


@pytest.mark.slow
def test_cifar10(data):
    table = read(data / "cifar10" / "cifar10.npz", "label", quiet=True)
    assert describe(table)["splits"] == {"train": 50_000, "test": 10_000}
    assert table.tasks[0].classes[:2] == ("airplane", "automobile")
    assert not table.unreadable


def test_spoken_digits_keep_the_names_of_speakers(data):
    table = read(data / "spoken-digits" / "fsdd.npz", ["digit", "speaker"], quiet=True)
    assert table.task("speaker").classes == ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
    assert table.task("digit").parent is None


def test_boxes_are_left_out_of_blood_cells(data):
    with pytest.warns(UserWarning, match=r"boxes \(4886\)"):
        table = read(data / "bccd" / "bccd.npz", quiet=True)
    assert len(table) == 364
    assert table.media == ("jpeg", "image")
    assert describe(table)["splits"] == {"train": 205, "validation": 87, "test": 72}


def test_what_is_no_label_on_real_data(data):
    with pytest.raises(ValueError, match=r"real number 126\.201 at row 0"):
        read(data / "c-mixup" / "airfoil_self_noise.dat", "TARGET")
    with pytest.raises(ValueError, match="all 512 labels differ"):
        read(data / "regmix" / "train_mixture_1m.csv", "index")
    with pytest.raises(ValueError, match="no line of column names"):
        read(data / "ag-news" / "test.csv.gz", "class")
    with pytest.warns(UserWarning, match="subject# would be learned from"):
        read(data / "parkinsons" / "parkinsons_updrs.csv.gz", "sex")
