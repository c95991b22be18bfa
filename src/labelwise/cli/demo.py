"""`labelwise demo`: the main job from end to end, on handwritten digits with planted label errors of known truth."""

from pathlib import Path
from typing import Any

from labelwise.cli import common

RECIPE = {"symmetric": 0.03, "pair": 0.03, "pseudo_class": 15, "spoil": 0.02}
"""What is planted: shares of rows with a random or look-alike label, rows of an invented class, share spoiled."""


@common.guarded
def demo(
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Audit, correct, train and report on scikit-learn's handwritten digits with planted label errors.

    Example: `labelwise demo --out runs/demo`
    """
    result = run_demo(out or Path("runs") / "demo", seed=seed, quiet=quiet or json)
    if json:
        common.print_json(result)
    elif not quiet:
        _show(result)


def run_demo(out: Path, seed: int = 0, quiet: bool = False) -> dict[str, Any]:
    """Run the demo into the folder `out` and return its figures, which are also kept in `metrics.json` there.

    A quarter of the digits, with clean labels, is kept as the test; errors are planted in the rest, which is audited.
    """
    import numpy as np

    from labelwise import methods, report
    from labelwise.audit import apply_corrections, run_audit
    from labelwise.labels import plant, read, split
    from labelwise.runs import METRICS, RunFolder, read_json

    clean = read("digits")
    part = split(clean, "digit", shares=(0.6, 0.15, 0.25), seed=seed)
    clean = clean.with_split(part)
    noisy, truth = plant(clean, "digit", RECIPE, rows=part != "test", seed=seed)

    kept = np.flatnonzero(part != "test")
    findings, run = run_audit(noisy.select(kept), run=out, seed=seed, quiet=quiet)
    findings = findings.assign(example=kept[findings["example"]])

    tables = {"raw": noisy, "corrected": apply_corrections(noisy, findings)}
    accuracy, calibration = {}, {}
    for name, table in tables.items():
        folder = methods.fit(table, "dselect-k", run / name, seed=seed, quiet=quiet)
        scores = read_json(folder / METRICS)["tasks"]["digit"]["test"]
        accuracy[name] = scores["accuracy"]["value"]
        calibration[name] = scores["calibration_error"]

    result = {
        "seed": seed,
        "audit": _compare(set(truth["example"]), set(findings["example"])),
        "kinds": _hit_rates(truth, set(findings["example"])),
        "accuracy": accuracy,
        "calibration_error": calibration,
    }
    RunFolder(run).add_metrics(demo=result, **{key: result[key] for key in ("accuracy", "calibration_error")})
    page = report.write(run)
    return {"run": str(run), "report": str(page), **result}


def _compare(planted: set[int], flagged: set[int]) -> dict[str, Any]:
    found = len(planted & flagged)
    return {
        "planted": len(planted),
        "flagged": len(flagged),
        "found": found,
        "hit_rate": found / len(planted) if planted else None,
        "precision": found / len(flagged) if flagged else None,
    }


def _hit_rates(truth: Any, flagged: set[int]) -> dict[str, Any]:
    examples = truth.drop_duplicates("example")  # a linked label that went along has a row of its own
    hits = examples.assign(found=examples["example"].isin(flagged)).groupby("kind", sort=False)["found"]
    return {kind: {"planted": len(rows), "found": int(rows.sum())} for kind, rows in hits}


def _show(result: dict[str, Any]) -> None:
    audit = result["audit"]
    rows = [
        (kind, each["planted"], each["found"], each["found"] / each["planted"])
        for kind, each in result["kinds"].items()
    ]
    rows.append(("all", audit["planted"], audit["found"], audit["hit_rate"]))
    common.table("planted label errors", ("kind", "planted", "found", "share found"), rows)
    common.say(f"{audit['flagged']} flagged, precision {audit['precision']:.3f}\n")
    scores = [(name, accuracy, result["calibration_error"][name]) for name, accuracy in result["accuracy"].items()]
    common.table("digit, on clean test labels", ("trained on", "accuracy", "calibration error"), scores)
    common.say(f"run     {result['run']}\nreport  {result['report']}")
