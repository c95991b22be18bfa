import numpy as np
import pyarrow.parquet as pq
import pytest

from labelwise.bench.mock_runs import make_run, say
from labelwise.review.database import open_database
from labelwise.review.filling import fill
from labelwise.review.ordering import EVERY
from labelwise.review.schema import finding, item, question


def asked(database):
    return database.rows(question.select().order_by(question.c.position))


def test_each_finding_belongs_to_the_question_about_its_label(database):
    issues = pq.read_table(database.run / "issues.parquet").to_pylist()
    by_id = {row.id: row for row in asked(database)}
    found = [
        (by_id[row.question_id].item_id, by_id[row.question_id].task or None, row.kind, row.score, row.suggested)
        for row in database.rows(finding.select())
    ]
    assert sorted(found, key=repr) == sorted(
        [tuple(each[name] for name in ("example", "task", "kind", "score", "suggested")) for each in issues], key=repr
    )
    labels = pq.read_table(database.run / "labels.parquet").to_pylist()
    for row in by_id.values():
        assert row.given == (labels[row.item_id][row.task] if row.task else None)
        assert row.kinds == " ".join(sorted({each[2] for each in found if each[:2] == (row.item_id, row.task or None)}))
        assert row.sampled == (row.kinds == "")


def test_the_random_sample_is_of_labels_without_finding_and_one_item_in_ten(tmp_path):
    with open_database(make_run(tmp_path / "run", rows=300)) as database:
        fill(database, sample=8, seed=3)
        rows = asked(database)
    drawn = [row for row in rows if row.sampled]
    assert {task: sum(row.task == task for row in drawn) for task in ("animal", "family")} == {"animal": 8, "family": 8}
    assert all(row.given is not None for row in drawn)
    items = list(dict.fromkeys(row.item_id for row in rows))
    only_drawn = {row.item_id for row in drawn} - {row.item_id for row in rows if not row.sampled}
    assert [at for at, each in enumerate(items) if each in only_drawn][:3] == [EVERY - 1, 2 * EVERY - 1, 3 * EVERY - 1]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_asks_the_same_and_a_second_filling_changes_nothing(tmp_path, seed, url):
    with open_database(make_run(tmp_path / "run"), url) as database:
        fill(database, sample=5, seed=seed)
        before = asked(database)
        fill(database, sample=9, seed=seed + 1)
        assert asked(database) == before
    with open_database(make_run(tmp_path / "again")) as database:
        fill(database, sample=5, seed=seed)
        assert asked(database) == before


def test_the_gain_is_taken_from_the_models_where_they_were_asked(tmp_path):
    found = [say(row, "animal", "label", 0.5, "cat", "dog") for row in (0, 4)]
    run = make_run(tmp_path / "run", rows=8, findings=found)
    (run / "probabilities").mkdir()
    probabilities = np.full((1, 8, 4), 0.25, np.float32)
    probabilities[0, 4] = [0, 1, 0, 0]
    np.save(run / "probabilities" / "animal.npy", probabilities)
    with open_database(run) as database:
        fill(database, sample=0)
        assert [(row.item_id, row.gain) for row in asked(database)] == [(4, 1.0), (0, 0.5)]
    np.save(run / "probabilities" / "animal.npy", probabilities)
    (run / "review.sqlite").unlink()
    (run / "probabilities" / "animal.npy").write_bytes(b"cut off")
    with open_database(run) as database, pytest.raises(ValueError, match="delete it and audit again"):
        fill(database)
    with open_database(run) as database:
        assert database.rows(item.select()) == []  # not half of it
