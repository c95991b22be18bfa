import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from labelwise.audit import FineTuned, Ledger, Source, Stage, run_stages, uncertainty_sample

N = 300


def linear() -> FineTuned:
    torch.manual_seed(0)
    return FineTuned(torch.nn.Linear(3, 2), 5e-2)


class PlainSteps(SGDClassifier):
    def partial_fit(self, X, y, classes=None):
        return super().partial_fit(X, y, classes)


MODELS = {
    "torch": linear,
    "partial_fit": lambda: SGDClassifier(loss="log_loss"),
    "partial_fit without weights": lambda: PlainSteps(loss="log_loss"),
    "fit": LogisticRegression,
    "fit without weights": lambda: KNeighborsClassifier(1),
}
TRAINED = {name: MODELS[name] for name in ("torch", "partial_fit", "fit")}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.fixture
def inputs() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)


def ledger(inputs: np.ndarray, weak=None, budget: float | None = None) -> Ledger:
    """The right class is the sign of the first column; weak labels see that of the second."""
    weak = (inputs[:, 1] > 0).astype(int) if weak is None else weak
    return Ledger(
        [Source("weak", 0.1, 0.7, weak), Source("strong", 1, 1, (inputs[:, 0] > 0).astype(int))], N, 2, budget
    )


def accuracy(learned, inputs: np.ndarray, column: int) -> float:
    return float((learned.predict_proba(inputs).argmax(axis=1) == (inputs[:, column] > 0)).mean())


def test_items_are_bought_once_as_many_as_planned_from_whom_planned(model, inputs):
    account = ledger(inputs, budget=24)
    run_stages(model, [Stage("weak", 40), Stage("strong", 20)], account, inputs, presented=500)
    weak, strong = account.bought("weak"), account.bought("strong")
    assert (len(weak), len(strong)) == (40, 20)
    assert not np.intersect1d(weak, strong).size
    assert account.spent == 24


@pytest.mark.parametrize("make", TRAINED.values(), ids=TRAINED)
@pytest.mark.parametrize("kept", ["weak", "strong"])
def test_a_stage_without_labels_is_as_if_it_was_not_there(make, kept, inputs):
    both = [Stage(source, 50 if source == kept else 0) for source in ("weak", "strong")]
    one, other = ledger(inputs), ledger(inputs)
    learned = run_stages(make(), both, one, inputs, 3, 500)
    alone = run_stages(make(), [Stage(kept, 50)], other, inputs, 3, 500)
    np.testing.assert_array_equal(learned.predict_proba(inputs), alone.predict_proba(inputs))
    assert one.spent == other.spent == (5 if kept == "weak" else 50)


def test_the_model_that_is_given_stays_as_it_is_and_runs_repeat(model, inputs):
    stages = [Stage("weak", 30), Stage("strong", 30, "uncertain", 0.5)]
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = run_stages(model, stages, ledger(inputs), inputs, 1, 500).predict_proba(inputs)
    again = run_stages(model, stages, ledger(inputs), inputs, 1, 500).predict_proba(inputs)
    np.testing.assert_array_equal(first, again)
    assert (torch.random.get_rng_state() == before).all()
    np.testing.assert_allclose(first.sum(axis=1), 1)
    other = run_stages(model, stages, ledger(inputs), inputs, 2, 500).predict_proba(inputs)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("make", TRAINED.values(), ids=TRAINED)
def test_labels_are_learned(make, inputs):
    assert accuracy(run_stages(make(), [Stage("weak", 250)], ledger(inputs), inputs), inputs, 1) > 0.9
    assert accuracy(run_stages(make(), [Stage("strong", 250)], ledger(inputs), inputs), inputs, 0) > 0.9


@pytest.mark.parametrize("make", [TRAINED["torch"], TRAINED["partial_fit"]], ids=["torch", "partial_fit"])
def test_the_last_stage_has_the_last_word(make, inputs):
    learned = run_stages(make(), [Stage("weak", 150), Stage("strong", 150)], ledger(inputs), inputs)
    assert accuracy(learned, inputs, 0) > accuracy(learned, inputs, 1)


@pytest.mark.parametrize("make", TRAINED.values(), ids=TRAINED)
def test_soft_labels_count_by_their_probability(make, inputs):
    weak = np.tile([0.2, 0.8], (N, 1))
    learned = run_stages(make(), [Stage("weak", N)], ledger(inputs, weak), inputs)
    np.testing.assert_allclose(learned.predict_proba(inputs).mean(axis=0), [0.2, 0.8], atol=0.1)


def test_log_confidence_is_refused_where_a_model_has_its_own_loss(inputs):
    for make in (LogisticRegression, GaussianNB):
        with pytest.raises(ValueError, match="needs a torch module"):
            run_stages(make(), [Stage("weak", 30, loss="log_confidence")], ledger(inputs), inputs)
    learned = run_stages(linear(), [Stage("weak", 200, loss="log_confidence")], ledger(inputs), inputs)
    assert accuracy(learned, inputs, 1) > 0.9


def test_one_class_is_all_that_a_model_then_knows(model, inputs):
    learned = run_stages(model, [Stage("weak", 30)], ledger(inputs, np.ones(N, int)), inputs)
    assert (learned.predict_proba(inputs).argmax(axis=1) == 1).all()


@pytest.mark.parametrize("validation", [0, 0.5, 0.99])
def test_any_share_can_be_held_out(validation, inputs):
    for n in (3, 4, 40):
        learned = run_stages(linear(), [Stage("strong", n, validation=validation)], ledger(inputs), inputs, 0, 500)
        assert np.isfinite(learned.predict_proba(inputs)).all()


def test_a_model_that_predicts_nan_is_named(inputs):
    with pytest.raises(ValueError, match="GaussianNB predicts nan"), np.errstate(all="ignore"):
        run_stages(GaussianNB(), [Stage("strong", 1)], ledger(inputs), inputs).predict_proba(inputs)


def test_one_label_is_enough_to_run(model, inputs):
    assert np.isfinite(run_stages(model, [Stage("strong", 1)], ledger(inputs), inputs).predict_proba(inputs)).all()


def test_uncertain_items_lie_near_the_border(inputs):
    account = ledger(inputs)
    run_stages(LogisticRegression(), [Stage("weak", 60), Stage("strong", 20, "uncertain")], account, inputs)
    chosen, all_of_them = np.abs(inputs[account.bought("strong"), 1]), np.abs(inputs[:, 1])
    assert np.median(chosen) < 0.5 * np.median(all_of_them)


def chances(n: int, classes: int) -> np.ndarray:
    return np.random.default_rng(n).dirichlet(np.ones(classes), n)


@pytest.mark.parametrize("classes", [2, 5])
def test_temperature_zero_takes_the_largest_entropies(classes):
    given = chances(50, classes)
    chosen = uncertainty_sample(given, 12)
    assert set(chosen) == set(np.argsort(-entropy(given, axis=1))[:12])


def test_with_two_classes_entropy_and_margin_agree():
    given = chances(50, 2)
    assert set(uncertainty_sample(given, 20)) == set(np.argsort(np.abs(given[:, 0] - 0.5))[:20])


def test_a_high_temperature_is_nearly_uniform_and_a_low_one_nearly_greedy():
    given = np.concatenate([np.full((5, 2), 0.5), np.tile([0.99, 0.01], (5, 1))])
    generator = np.random.default_rng(0)
    shares = {
        t: np.mean([(uncertainty_sample(given, 1, t, generator) < 5).sum() for _ in range(2000)])
        for t in (1e6, 1, 0.05)
    }
    assert shares[1e6] == pytest.approx(0.5, abs=0.04)
    odds = entropy([0.5, 0.5]) / entropy([0.99, 0.01])
    assert shares[1] == pytest.approx(odds / (1 + odds), abs=0.03)
    assert shares[0.05] == 1


@pytest.mark.parametrize("temperature", [0, 0.1, 1, 1e9])
def test_no_row_is_chosen_twice(temperature):
    given = np.array([[1.0, 0.0]] * 8 + [[0.5, 0.5]] * 2)
    assert sorted(uncertainty_sample(given, 10, temperature)) == list(range(10))
    assert {8, 9} <= set(uncertainty_sample(given, 3, min(temperature, 1)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Stage("a", 1, sampling="best"), "'random' or 'uncertain'; got 'best'"),
        (lambda: Stage("a", 1, loss="hinge"), "got 'hinge'"),
        (lambda: Stage("a", -1), "n must be at least 0"),
        (lambda: uncertainty_sample(chances(3, 2), 4), r"in \[0, 3\]"),
        (lambda: uncertainty_sample(chances(3, 2), 1, -1), "temperature must be at least 0"),
    ],
)
def test_unfit_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_unfit_runs_are_refused(inputs):
    for stages, model, message in [
        ([Stage("weak", 200), Stage("strong", 101)], GaussianNB(), "want 301 items in all and there are 300"),
        ([Stage("weak", 0)], GaussianNB(), "no stage buys any label"),
        ([Stage("weak", 5)], object(), "must have predict_proba and fit or partial_fit"),
    ]:
        with pytest.raises(ValueError, match=message):
            run_stages(model, stages, ledger(inputs), inputs)
