import dataclasses
import json
import math
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

from labelwise import bench
from labelwise.bench import movielens
from labelwise.bench.movielens import Budget
from labelwise.experts import MixtureOutput

TINY = Budget(users=12, embedding=3, width=4, scheduled=1, epochs=1, patience=1, learning_rate=1e-2, batch_size=128)


def made_up(n_users, n_movies):
    """Ratings of films of which every second one is popular, and every third one is good."""
    generator = np.random.default_rng(0)
    chance = np.where(np.arange(n_movies) % 2 == 0, 0.6, 0.05)
    user, movie = np.nonzero(generator.random((n_users, n_movies)) < chance)
    rating = generator.integers(1, 4, len(user)) + 2 * (movie % 3 == 0)
    return pd.DataFrame({"UserID": user + 1, "MovieID": movie + 1, "Rating": rating})


@pytest.fixture(scope="module")
def ratings():
    return made_up(40, 50)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "movielens"


@pytest.fixture(scope="module")
def result(ratings, out):
    return movielens.run(ratings, range(2), TINY, out, quiet=True)


def test_every_method_is_fitted_for_every_loss_with_every_seed(result):
    assert json.loads(json.dumps(result, allow_nan=False))["seeds"] == [0, 1]
    methods = ["dselect-k", "top-k", "noisy top-k", "softmax", "gumbel"]
    methods += [*(f"{kind}, per example" for kind in methods), "ple", "shared bottom", "single task"]
    assert list(result["figures"]) == ["a = 0.1", "a = 0.5", "a = 0.9"]
    for share, found in zip((0.1, 0.5, 0.9), result["figures"].values(), strict=True):
        assert list(found) == methods
        for measures in found.values():
            joint = share * np.array(measures["watched"]) + (1 - share) * np.array(measures["rating"])
            np.testing.assert_allclose(measures["loss"], joint, rtol=1e-5)
    ((title, columns, rows),) = bench.tables(result)
    assert "12 users" in title
    assert [row[1] for row in rows] == 3 * methods
    assert all(len(row) == len(columns) for row in rows)
    for kind, used in {"top-k": 2, "noisy top-k": 2, "softmax": 16, "gumbel": 1}.items():
        for method in (kind, f"{kind}, per example"):
            assert result["uses"]["a = 0.5"][method] == {"experts": [used] * 2, "most": [used] * 2}
    assert result["uses"]["a = 0.5"]["ple"]["most"] == [17, 17]
    assert "shared bottom" not in result["uses"]["a = 0.5"]


def test_a_stopped_run_goes_on_from_its_figures(result, ratings, out, monkeypatch):
    fitted = []

    def fit(*given):
        fitted.append((given[3], given[0], given[4]))
        return real(*given)

    real = movielens._fit
    monkeypatch.setattr(movielens, "_fit", fit)
    (out / "ple-a = 0.5-None-1.json").unlink()
    assert movielens.run(ratings, range(2), TINY, out, quiet=True) == result
    assert fitted == [("ple", 0.5, 1)]
    with pytest.raises(ValueError, match=r"other settings \(epochs: 1 there, 3 asked\)"):
        movielens.run(ratings, range(2), dataclasses.replace(TINY, epochs=3), out, quiet=True)
    with pytest.raises(ValueError, match=r"other settings \(ratings: "):
        movielens.run(ratings[1:], range(2), TINY, out, quiet=True)


def test_hyper_parameters_are_chosen_by_seeds_that_are_not_reported(result, out):
    for picked in result["chosen"].values():
        assert set(picked) == {f"{kind}{form}" for kind in ("dselect-k", "gumbel") for form in ("", ", per example")}
        for method in picked.values():
            assert method["validation_loss"][str(method["value"])] == min(method["validation_loss"].values())
    seeds = {int(path.stem.rsplit("-", 1)[1]) for path in out.glob("gumbel-a = 0.5-*.json")}
    assert seeds == {0, 1, 1_000_000, 1_000_001}


def test_errors_of_both_tasks():
    ratings = torch.tensor([4.0, math.nan, 1.0, math.nan])
    outputs = {
        "watched": torch.tensor([[0.0], [2.0], [1.0], [-1.0]]),
        "rating": torch.tensor([[3.0], [100.0], [3.0], [-100.0]], requires_grad=True),
    }
    errors = movielens._errors(MixtureOutput(outputs, torch.zeros(()), {}), ratings)
    chances = torch.sigmoid(torch.tensor([0.0, -2.0, 1.0, 1.0]))  # of what was so
    assert errors["watched"].item() == pytest.approx(-chances.log().mean().item())
    assert errors["rating"].item() == pytest.approx((1 + 4) / 2)  # of those watched
    errors["rating"].backward()
    assert outputs["rating"].grad.flatten().tolist() == [-1, 0, 2, 0]
    nobody = movielens._errors(MixtureOutput(outputs, torch.zeros(()), {}), torch.full((4,), math.nan))
    assert nobody["rating"] == 0


def test_networks_learn_both_tasks():
    """A constant has a cross-entropy of log 2, and the variance of the ratings."""
    ratings = made_up(80, 60)
    budget = dataclasses.replace(TINY, users=None, embedding=8, width=16, scheduled=4, epochs=8, patience=8)
    for method in ("dselect-k", "single task"):
        found = movielens._fit(0.5, ratings, budget, method, 0, 0.05)
        assert found["watched"] < 0.9 * math.log(2)
        assert found["rating"] < 0.8 * ratings.Rating.var()


@pytest.fixture
def judged(ratings, monkeypatch):
    """Fits with the given judgements of the validation rows; gives the fit, and what is left of them."""
    watched = movielens.draw(ratings, np.random.default_rng(0), TINY.users).pairs["validation"]

    def fit(method, judgements, **budget):
        left = [{"loss": loss, "experts": experts} for loss, experts in judgements]
        passes = len(left)

        def judge(model, pairs, targets, share):
            validation = torch.equal(pairs, watched)
            return left.pop(0) if validation else {"tested after": passes - len(left)}

        monkeypatch.setattr(movielens, "_judge", judge)
        return movielens._fit(0.5, ratings, dataclasses.replace(TINY, **budget), method, 0, None), left

    return fit


def test_training_stops_after_passes_without_a_lower_validation_loss(judged):
    losses = [(loss, 16) for loss in (3.0, 2.0, 2.5, 1.0, 1.5, 1.5, 0.1)]
    found, left = judged("softmax", losses, epochs=7, patience=2)
    assert (found["validation"], found["tested after"]) == (1.0, 4)
    assert len(left) == 1
    with pytest.raises(ValueError, match="softmax is no longer a finite number"):
        judged("softmax", [(1.0, 16), (math.nan, 16)], epochs=2)


def test_passes_count_for_our_gates_once_they_have_settled(judged):
    passes = [(0.1, 16), (1.0, 2.05), (0.5, 3), (2.0, 2), (0.9, 8), (0.9, 8)]
    for method in ("dselect-k", "dselect-k, per example"):
        found, left = judged(method, passes, scheduled=5, epochs=6, patience=2)
        assert (found["validation"], found["tested after"]) == (0.9, 5)  # when the schedule is over, whatever is in use
        assert not left
    found, _ = judged("top-k", passes, scheduled=5, epochs=6, patience=2)
    assert found["tested after"] == 1


def test_the_comparison_by_its_name(tmp_path, monkeypatch, ratings):
    folder = tmp_path / "movielens-1m"
    folder.mkdir()
    lines = [f"{user}::{movie}::{rating}::978300760" for user, movie, rating in ratings.itertuples(index=False)]
    with zipfile.ZipFile(folder / "ml-1m.zip", "w") as file:
        file.writestr("ml-1m/ratings.dat", "\n".join(lines))
    monkeypatch.setenv("LABELWISE_DATA", str(tmp_path))
    asked = []
    monkeypatch.setattr(movielens, "run", lambda *given: asked.append(given) or {"name": "movielens"})
    for full in (False, True):
        assert bench.run("movielens", quiet=True, full=full, seed=3) == {"name": "movielens"}
    assert all(read.equals(ratings) for read, *_ in asked)
    assert [given[1:] for given in asked] == [
        (range(3, 8), budget, None, True) for budget in (movielens.SMALL, movielens.FULL)
    ]
