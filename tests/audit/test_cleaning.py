from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.audit import cleaning_report, evaluate_cleaning, export_corrected, run_audit
from labelwise.labels import read

SHARES = ("hit_rate", "feature_hit_rate", "label_hit_rate", "precision", "focus_hit_rate", "other_hit_rate")


def sample(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flags, noisy and clean labels."""
    generator = np.random.default_rng(seed)
    noisy = generator.integers(-1, 4, n)
    clean = np.where(generator.random(n) < 0.6, noisy, generator.integers(-1, 6, n))
    return generator.random(n) < 0.4, noisy, clean


samples = st.builds(sample, st.integers(0, 2**32 - 1), st.integers(0, 40))


@given(samples)
def test_the_report_follows_the_definition(columns):
    flags, noisy, clean = columns
    report = cleaning_report(*columns, focus_class=2, pseudo_classes=[0, 3])
    rows = [i for i in range(len(noisy)) if noisy[i] >= 0]
    flagged = {i for i in rows if flags[i]}
    removed, relabelled = {i for i in rows if clean[i] < 0}, {i for i in rows if 0 <= clean[i] != noisy[i]}
    errors = removed | relabelled
    focus = {i for i in errors if noisy[i] == 2}
    pseudo = {i for i in rows if noisy[i] in (0, 3)}

    def share(part, whole):
        return pytest.approx(len(part) / len(whole)) if whole else None

    assert report["hit_rate"] == share(flagged & errors, errors)
    assert report["feature_hit_rate"] == share(flagged & removed, removed)
    assert report["label_hit_rate"] == share(flagged & relabelled, relabelled)
    assert report["precision"] == share(flagged & errors, flagged)
    assert report["focus_hit_rate"] == share(flagged & focus, focus)
    assert report["other_hit_rate"] == share(flagged & errors - focus, errors - focus)
    assert report["found_pseudo_class"] == (bool(flagged & pseudo) if pseudo else None)
    assert report["hits"] == report["feature_hits"] + report["label_hits"] == len(flagged & errors)
    for key in ("rows", "flagged", "errors", "hits"):
        if key != "rows":
            assert sum(each[key] for each in report["classes"]) == report[key]
    assert report["rows"] == len(rows)
    for each in report["classes"]:
        members = {i for i in rows if noisy[i] == each["class"]}
        assert each["rows"] == len(members)
        assert each["hit_rate"] == share(flagged & errors & members, errors & members)
        assert each["precision"] == share(flagged & errors & members, flagged & members)


@given(samples)
def test_hits_of_the_focus_class_and_of_others_make_all_hits(columns):
    report = cleaning_report(*columns, focus_class=1)
    _, noisy, clean = columns
    in_focus = int(((noisy == 1) & (clean != noisy)).sum())
    hits = (report["focus_hit_rate"] or 0) * in_focus
    hits += (report["other_hit_rate"] or 0) * (report["errors"] - in_focus)
    assert hits == pytest.approx(report["hits"])


def test_what_has_no_denominator_is_not_0():
    report = cleaning_report(np.zeros(3, bool), [0, 1, 1], [0, 1, 1], focus_class=0, pseudo_classes=[2])
    assert [report[key] for key in SHARES] == [None] * 6
    assert report["found_pseudo_class"] is None
    assert report["classes"] == []
    assert cleaning_report(np.zeros(2, bool), [0, 1], [0, 0])["precision"] is None
    assert cleaning_report(np.zeros(2, bool), [0, 1], [0, 0])["other_hit_rate"] is None


def test_suggestions_count_where_a_label_was_wrong():
    flags, noisy, clean = np.array([1, 1, 1, 1, 0], bool), [0, 0, 0, 0, 0], [1, 2, -1, 0, 1]
    assert cleaning_report(flags, noisy, clean, suggested=[1, 1, 1, 1, 1])["suggestion_accuracy"] == 0.5
    assert cleaning_report(flags, noisy, clean)["suggestion_accuracy"] is None


def test_unfit_arrays_are_refused():
    with pytest.raises(ValueError, match=r"must all be \[n\]; got shapes \[1\], \[2\], \[2\]"):
        cleaning_report([True], [0, 1], [0, 1])
    with pytest.raises(ValueError, match="flags must be bool"):
        cleaning_report([0, 1], [0, 1], [0, 1])
    with pytest.raises(ValueError, match="clean must hold class indices, or -1; got int64, least -2"):
        cleaning_report([True, False], [0, 1], [0, -2])
    with pytest.raises(ValueError, match=r"suggested must be class indices \[2\], or -1; got int64 \[1\]"):
        cleaning_report([True, False], [0, 1], [0, 1], suggested=[1])


@pytest.fixture
def audited(tmp_path):
    """An audit of 30 rows that suggests class b for rows 4 and 9; row 2 was given as c, a class that should not be."""
    names = np.array(["a", "b"], object)[np.arange(30) % 2]
    names[[4, 2]] = ["b", "c"]
    frame = pd.DataFrame({"key": [f"k{i}" for i in range(30)], "width": np.arange(30.0), "name": names})
    frame["part"] = np.where(np.arange(30) < 20, "train", "test")
    frame.to_csv(tmp_path / "noisy.csv", index=False)
    table = read(tmp_path / "noisy.csv", "name", id="key", split="part")
    likely = np.full((30, 3), 0.05)
    likely[np.arange(30), np.arange(30) % 2] = 0.9
    run = run_audit(table, run=tmp_path / "run", probabilities=likely, quiet=True).run
    return run, frame


def truth_of(frame, **columns) -> pd.DataFrame:
    return frame[["key", "name", "part"]].assign(name=np.array(["a", "b"], object)[np.arange(30) % 2], **columns)


def test_an_audit_is_judged_by_what_it_would_change(tmp_path, audited):
    run, frame = audited
    export_corrected(run, tmp_path / "out.csv")
    corrected = pd.read_csv(tmp_path / "out.csv")
    changed = set(np.flatnonzero(corrected["name"] != corrected["given_name"]))
    assert 4 in changed
    clean = truth_of(frame).sample(frac=1, random_state=0)
    clean.loc[7, "name"] = None
    clean.loc[8, "name"] = "new"
    report = evaluate_cleaning(run, read(clean, "name", id="key"), focus_class="b", pseudo_classes=["c"])
    errors = {2, 4, 7, 8}
    assert report["rows"] == 30
    assert (report["feature_errors"], report["label_errors"]) == (1, 3)
    assert report["hits"] == len(changed & errors)
    assert report["flagged"] == len(changed)
    assert report["found_pseudo_class"] == (2 in changed)
    assert report["focus_hit_rate"] == len(changed & {4, 7}) / 2
    assert {each["class"] for each in report["classes"]} <= {"a", "b", "c"}


def test_rows_that_the_truth_lacks_are_left_out_or_were_removed(audited):
    run, frame = audited
    clean = truth_of(frame)
    some = clean[clean["part"] == "test"].iloc[1:]
    table = read(some, "name", id="key", split="part")
    assert evaluate_cleaning(run, table)["rows"] == 9
    report = evaluate_cleaning(run, table, absent_removed=True)
    assert (report["rows"], report["feature_errors"]) == (10, 1)
    everywhere = evaluate_cleaning(run, replace(table, split=None), absent_removed=True)
    assert (everywhere["rows"], everywhere["feature_errors"]) == (30, 21)


def test_a_truth_of_other_rows_and_unknown_classes_are_refused(audited):
    run, frame = audited
    with pytest.raises(ValueError, match=r"no id of .* is in .* \(there: k0, here: x0\); name its column of ids"):
        evaluate_cleaning(run, read(truth_of(frame, key=[f"x{i}" for i in range(30)]), "name", id="key"))
    with pytest.raises(ValueError, match=r"'d' is not a class of 'name' .* \(a, b, c\)"):
        evaluate_cleaning(run, read(truth_of(frame), "name", id="key"), focus_class="d")


@pytest.mark.data
def test_flags_that_were_published_with_noisy_ostracods(data):
    """The authors kept all rows but 736 of validation and test; the pseudo-class cyprideis, 17, is among those kept."""
    noisy, kept = (
        pd.concat(
            pd.read_csv(data / "noisy-ostracods" / f"ostracods_genus_{project}_{phase}.csv.gz", header=None)
            for phase in ("val", "test")
        )
        for project in ("final", "CL")
    )
    flags = ~noisy[0].isin(kept[0]).to_numpy()
    report = cleaning_report(flags, noisy[1], noisy[1], focus_class=58, pseudo_classes=[17])
    assert (report["rows"], report["flagged"], report["errors"]) == (14230, 736, 0)
    assert report["found_pseudo_class"] is False
    assert (report["precision"], report["hit_rate"], report["focus_hit_rate"]) == (0, None, None)
