import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.labels import LabelTable, Task, contradictions, find_parents

SPECIES = 12


def tree(n=2000, wrong=0.0, seed=0):
    """Species in genera of three, genera in two families; a share of genus labels is replaced at random."""
    generator = np.random.default_rng(seed)
    species = generator.integers(0, SPECIES, n)
    genus = species // 3
    family = genus // 2
    rows = generator.choice(n, round(wrong * n), replace=False)
    genus = genus.copy()
    genus[rows] = (genus[rows] + generator.integers(1, 4, len(rows))) % 4
    return species, genus, family, np.sort(rows)


def table(**labels):
    tasks = [
        Task(name, classes=tuple(f"{name[0]}{k}" for k in range(max(codes) + 1))) for name, codes in labels.items()
    ]
    return LabelTable.from_columns(labels, tasks)


@pytest.mark.parametrize("wrong", [0.0, 0.02])
def test_the_tree_is_found_in_any_order_of_columns(wrong):
    species, genus, family, _ = tree(wrong=wrong)
    assert find_parents(table(species=species, genus=genus, family=family)) == {"species": "genus", "genus": "family"}
    assert find_parents(table(family=family, genus=genus, species=species)) == {"species": "genus", "genus": "family"}


def test_missing_labels_do_not_hide_the_tree():
    species, genus, _, _ = tree()
    genus = np.where(np.arange(len(genus)) % 3, genus, -1)
    assert find_parents(table(species=species, genus=genus)) == {"species": "genus"}


def test_a_finer_parent_goes_first():
    species, _, family, _ = tree()
    assert find_parents(table(species=species, family=family)) == {"species": "family"}


def test_what_is_no_nesting():
    generator = np.random.default_rng(99)
    species, genus, _, _ = tree()
    assert find_parents(table(species=species, colour=generator.integers(0, 3, 2000))) == {}
    dominant = (generator.random(2000) < 0.03).astype(int)
    assert find_parents(table(species=species, dominant=dominant)) == {}
    renamed = (species + 5) % SPECIES
    assert find_parents(table(species=species, renamed=renamed)) == {}
    singles = np.arange(60) // 1.1
    assert find_parents(table(code=singles.astype(int), genus=genus[:60])) == {}
    assert (
        find_parents(
            table(species=np.where(np.arange(2000) % 2, species, -1), genus=np.where(np.arange(2000) % 2, -1, genus))
        )
        == {}
    )


def test_too_many_contradictions_are_no_nesting():
    species, genus, _, _ = tree(wrong=0.1)
    assert find_parents(table(species=species, genus=genus)) == {}


def linked(species, genus):
    whole = table(species=species, genus=genus)
    return whole.with_tasks([Task("species", classes=whole.tasks[0].classes, parent="genus"), whole.tasks[1]])


@given(st.integers(0, 20), st.sampled_from([0.0, 0.01, 0.05]))
def test_contradictions_are_just_the_wrong_rows(seed, wrong):
    species, genus, _, rows = tree(wrong=wrong, seed=seed)
    found = contradictions(linked(species, genus))
    assert sorted(found["example"]) == rows.tolist()
    assert (found["expected_parent"] == [f"g{species[row] // 3}" for row in found["example"]]).all()
    assert (found["given_parent"] == [f"g{genus[row]}" for row in found["example"]]).all()
    assert found["share"].is_monotonic_decreasing
    assert (found["share"] > 0.5).all()


def test_contradictions_tell_what_speaks_for_them():
    found = contradictions(linked([0, 0, 0, 0, 1, -1], [0, 0, 0, 1, 1, 0]))
    row = found.iloc[0]
    assert len(found) == 1
    assert (row.example, row.task, row.parent, row.given) == (3, "species", "genus", "s0")
    assert (row.expected_parent, row.given_parent, row.support, row["share"]) == ("g0", "g1", 3, 0.75)


def test_without_links_nothing_contradicts():
    found = contradictions(table(species=[0, 1], genus=[0, 1]))
    assert len(found) == 0
    assert "expected_parent" in found
