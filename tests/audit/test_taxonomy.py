import numpy as np
import pytest

from labelwise.audit.taxonomy import parent_of_classes, taxonomy_findings
from labelwise.labels import LabelTable, Task

SPECIES, GENERA = ("cat", "lynx", "dog", "ghost"), ("feline", "canine")


def make(genus_of_last: int = 1) -> LabelTable:
    species = np.array([0] * 5 + [1] * 4 + [2] * 5 + [0])
    genus = np.array([0] * 9 + [1] * 5 + [genus_of_last])
    return LabelTable.from_columns(
        {"species": species, "genus": genus},
        [Task("species", "single", SPECIES, parent="genus"), Task("genus", "single", GENERA)],
    )


def probabilities(species: list[float], genus: list[float]) -> dict[str, np.ndarray]:
    return {"species": np.tile(species, (15, 1)), "genus": np.tile(genus, (15, 1))}


def test_a_tree_without_contradictions_gives_nothing():
    assert not list(taxonomy_findings(make(genus_of_last=0), {}))


def test_the_side_that_models_find_less_likely_is_named():
    (one,) = taxonomy_findings(make(), probabilities([0.9, 0.05, 0.05, 0], [0.9, 0.1]))
    assert (one.example, one.task, one.kind, one.given, one.suggested) == (14, "genus", "taxonomy", "canine", "feline")
    (other,) = taxonomy_findings(make(), probabilities([0.05, 0.05, 0.9, 0], [0.1, 0.9]))
    assert (other.task, other.given, other.suggested) == ("species", "cat", "dog")
    assert 0.4 < one.score <= 1
    sure = 0.9 * 0.9 / (0.9 * 0.9 + 0.05 * 0.1)
    assert one.score == pytest.approx(sure * 5 / 6)


def test_without_models_the_parent_is_named():
    (only,) = taxonomy_findings(make(), {})
    assert (only.task, only.suggested, only.score) == ("genus", "feline", pytest.approx(0.5 * 5 / 6))
    assert "cannot be told" in only.why
    assert "'cat' goes with genus 'feline' in 5 rows" in only.why


def test_parents_are_those_of_most_rows():
    assert parent_of_classes(make(), "species").tolist() == [0, 0, 1, -1]
