import io

import numpy as np
import pytest
from PIL import Image

from labelwise.labels import read


def png(seed=0):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(["cat/1.png", "cat/2.PNG", "dog/1.png", "dog/small/2.png"]):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))
    return tmp_path / "pets"


def test_the_folder_is_the_label(folder):
    table = read(folder)
    assert table.ids.tolist() == ["cat/1.png", "cat/2.PNG", "dog/1.png", "dog/small/2.png"]
    assert table.data["label"].to_pylist() == ["cat", "cat", "dog", "dog/small"]
    assert table.media == ("image", "image")
    assert table.feature_names == ["image"]
    assert table.data["image"][2].as_py() == (folder / "dog/1.png").read_bytes()
    assert read(folder, ["label"]).tasks == table.tasks


def test_broken_images_are_told_of_and_the_rest_goes_on(folder):
    (folder / "cat/1.png").write_bytes(b"no image at all")
    (folder / "cat/2.PNG").write_bytes(png()[:-30])
    (folder / "cat/3.png").write_bytes(b"")
    table = read(folder)
    assert len(table) == 5
    assert sorted(table.unreadable) == [0, 1, 2]
    assert "no known image format" in table.unreadable[0]
    assert "empty" in table.unreadable[2]


def test_other_files_are_left_out_with_one_warning(folder):
    (folder / "notes.txt").write_text("x")
    (folder / "cat/notes.txt").write_text("x")
    (folder / ".hidden.png").write_text("x")
    with pytest.warns(UserWarning, match="2 files that are not images") as warned:
        assert len(read(folder)) == 4
    assert len(warned) == 1


def test_folders_called_train_and_test_are_the_split(tmp_path):
    for i, name in enumerate(["train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "test/dog/1.png"]):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))
    table = read(tmp_path)
    assert table.data["label"].to_pylist() == ["dog", "cat", "dog", "cat"]
    assert table.data["split"].to_pylist() == ["test", "train", "train", "validation"]
    assert table.split == "split"


def test_images_to_predict_need_no_label(tmp_path):
    (tmp_path / "1.png").write_bytes(png())
    table = read(tmp_path)
    assert table.tasks == ()
    assert table.feature_names == ["image"]
    with pytest.raises(ValueError, match="no column 'label'"):
        read(tmp_path, "label")
    (tmp_path / "new").mkdir()
    (tmp_path / "1.png").rename(tmp_path / "new/1.png")
    assert read(tmp_path).tasks == ()
    assert read(tmp_path).feature_names == ["image"]
    with pytest.raises(ValueError, match="all 1 labels are 'new'"):
        read(tmp_path, "label")


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"holds no images .* only 1 other files"):
        read(tmp_path)
