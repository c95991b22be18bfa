import json

import pytest
import torch

from labelwise import bench
from labelwise.bench import experts_speed
from labelwise.bench.experts_speed import peak
from labelwise.bench.mixture_ways import Case, build, load_libmtl

SMALL = Case(tasks=2, n=6, k=2, width=8, batch=16)
# A stand-in for a checkout: a class with the cast, one module beside it, and a package that cannot be imported.
MMOE = "class MMoE:\n    pass\n"
GATE = """
import numpy as np
from LibMTL.architecture.MMoE import MMoE


class DSelect_k(MMoE):
    codes = np.array([list("00"), list("01"), list("10"), list("11")]).astype(bool)
"""


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "LibMTL" / "architecture"
    folder.mkdir(parents=True)
    (tmp_path / "LibMTL" / "__init__.py").write_text("raise ImportError('needs everything')")
    (folder / "MMoE.py").write_text(MMOE)
    (folder / "DSelect_k.py").write_text(GATE)
    return tmp_path


def test_all_ways_compute_the_same_mixture_and_gradient():
    torch.manual_seed(0)
    ways, inputs = build(SMALL), torch.randn(16, 8)
    assert list(ways) == ["sparse", "dense", "grouped", "plain loop"]
    answers, gradients = [], []
    for way in ways.values():
        given = inputs.clone().requires_grad_()
        answers.append(torch.stack(list(way(given))))
        answers[-1].square().sum().backward()
        gradients.append(given.grad)
    for answer, gradient in zip(answers[1:], gradients[1:], strict=True):
        torch.testing.assert_close(answer, answers[0])
        torch.testing.assert_close(gradient, gradients[0])


def test_gates_have_settled_on_at_most_k():
    torch.manual_seed(0)
    model = build(Case(tasks=3, n=8, k=2, width=16))["sparse"].model
    for gate in model(torch.randn(512, 16)).gates.values():
        assert ((gate.weights > 0).sum(1) <= 2).double().mean() > 0.99
        assert (gate.weights > 0).any(0).all()


def test_libmtl_is_loaded_with_its_cast_mended_and_leaves_no_trace(checkout, monkeypatch):
    import sys

    loaded = load_libmtl(checkout)
    assert loaded.codes.tolist() == [[False, False], [False, True], [True, False], [True, True]]
    assert not [name for name in sys.modules if name.startswith("LibMTL")]
    (checkout / "LibMTL" / "architecture" / "DSelect_k.py").write_text("class DSelect_k: pass")
    with pytest.raises(ValueError, match=r"expected one \.astype\(bool\), .* use another commit"):
        load_libmtl(checkout)
    monkeypatch.setenv("LABELWISE_LIBMTL", str(checkout / "elsewhere"))
    with pytest.raises(ValueError, match=r"LABELWISE_LIBMTL names .*elsewhere, which is no checkout of LibMTL"):
        bench.run("experts-speed", quiet=True)


def test_the_peak_counts_what_is_held_at_a_time():
    def call():
        first = torch.ones(1000, 100)
        second = first + 1
        del first
        second * 2

    assert peak(call) == pytest.approx(2 * 400_000, rel=0.01)


def test_a_tiny_run_has_a_ratio_for_every_way(monkeypatch):
    monkeypatch.delenv("LABELWISE_LIBMTL", raising=False)
    result = experts_speed.run([SMALL, Case(1, 4, 1, 8, 16)], turns=2, quiet=True)
    json.dumps(result, allow_nan=False)
    (mixtures, parts) = bench.tables(result)
    assert [row[:5] for row in mixtures[2]] == [
        [case.tasks, case.n, case.k, 8, step]
        for case in (SMALL, Case(1, 4, 1, 8))
        for step in ("inference", "training step")
    ]
    for _, columns, rows in (mixtures, parts):
        assert all(len(row) == len(columns) for row in rows)
    assert all(value > 0 for row in mixtures[2] for value in row[5:])
