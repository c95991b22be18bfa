import pytest

from labelwise.labels import Task


def test_classes_are_text_in_their_order():
    assert Task("digit", classes=(3, 1, 2)).classes == ("3", "1", "2")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "singel"}, "'singel'"),
        ({"classes": ("a", "b", "a")}, "'a' is repeated"),
        ({"kind": "real", "classes": ("a",)}, "no classes"),
        ({"parent": "species"}, "own parent"),
    ],
)
def test_what_no_task_can_be_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        Task("species", **settings)
