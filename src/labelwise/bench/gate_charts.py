"""Charts of the comparison `gate-settings`, as inline SVG: what the settings of a gate do, and what goes wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import torch
from markupsafe import Markup

from labelwise.bench.gate_settings import BLIND
from labelwise.bench.harness import interval, paired
from labelwise.functional import smooth_step
from labelwise.report.charts import QUIET, WIDTH, colour, dash, finish, shape

_VERDICTS = ("health() finds no fault", "a fault after 10 steps", "a fault at the end")
_TRACES = {  # how the chart calls it: sweep, and value
    "gamma 0.01": ("gamma", "0.01"),
    "gamma 1, as usual": ("gamma", "1"),
    "gamma falls to 0, no entropy": ("schedule", "no entropy, gamma falls until the end"),
    "gamma 10": ("gamma", "10"),
}
_EXPERTS = "experts a task"
_LINES: dict[str, Any] = {  # a legend of lines, with their dashes
    "title": None,
    "orient": "top",
    "columns": 2,
    "labelColor": "var(--ink)",
    "labelFontSize": 12.5,
    "symbolType": "stroke",
    "symbolSize": 400,
    "symbolStrokeWidth": 2,
}


def charts(result: Mapping[str, Any]) -> dict[str, Markup]:
    """All charts of a result by name: `smooth-step`, `training`, and one for each of `gamma`, `entropy` and `k`."""
    figures = result["figures"]
    usual = figures["gamma"]["1"]["mse"]
    blind = {"at random": figures["schedule"][BLIND]}
    return {
        "smooth-step": _smooth_step(),
        "training": _training(result["traces"]),
        "gamma": _sweep("gamma", figures["gamma"] | blind, usual),
        "entropy": _sweep("entropy", figures["entropy"] | blind, usual),
        "k": _sweep("k", figures["k"], usual),
    }


def _smooth_step() -> Markup:
    """The smooth step for two widths, and the logistic function, which never arrives."""
    logits = torch.linspace(-3, 3, 121, dtype=torch.float64)
    curves = {
        "gamma 1": smooth_step(logits, 1.0),
        "gamma 3": smooth_step(logits, 3.0),
        "logistic function": torch.sigmoid(logits),
    }
    values = [
        {"x": logit, "y": digit, "series": name}
        for name, digits in curves.items()
        for logit, digit in zip(logits.tolist(), digits.tolist(), strict=True)
    ]
    label = (
        "The smooth step against its logit: exactly 0 up to minus half of gamma, exactly 1 from half of gamma on. "
        "The logistic function comes near both and reaches neither."
    )
    return finish(_lines(values, "logit", "digit", 150), "smooth-step", label)


def _training(measured: Mapping[str, Mapping[str, Sequence[float]]]) -> Markup:
    """How many experts a task uses by epoch, mean over seeds, for settings that differ in when gates settle."""
    traces = {name: measured[sweep][value] for name, (sweep, value) in _TRACES.items()}
    values = [
        {"x": epoch, "y": used, "series": name} for name, trace in traces.items() for epoch, used in enumerate(trace)
    ]
    ends = "; ".join(
        f"{name}, {trace[1]:.1f} after one and {trace[-1]:.1f} after all" for name, trace in traces.items()
    )
    return finish(_lines(values, "epoch", _EXPERTS, 170), "gate-training", f"Experts a task by epoch: {ends}.")


def _lines(values: Sequence[Mapping[str, Any]], x: str, y: str, height: int) -> Any:
    names = list(dict.fromkeys(value["series"] for value in values))
    chart = alt.Chart(alt.InlineData(values=values)).mark_line(strokeWidth=2)
    chart = chart.encode(
        x=alt.X("x:Q", title=x, scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=6, **QUIET)),
        y=alt.Y("y:Q", title=y, axis=alt.Axis(tickCount=4, **QUIET)),
        color=colour(names).legend(**_LINES),
        strokeDash=dash(names).legend(**_LINES),
    )
    return chart.properties(width=WIDTH, height=height)


def _sweep(sweep: str, values: Mapping[str, Mapping[str, Any]], usual: Sequence[float]) -> Markup:
    """Error and experts in use against the values of a setting; a colour says what `health` says of most gates."""
    points = [_point(value, measured, usual) for value, measured in values.items()]
    base = alt.Chart(alt.InlineData(values=points)).encode(color=colour(_VERDICTS))
    marks = base.mark_point(filled=True, size=70, opacity=1).encode(shape=shape(_VERDICTS), description="what:N")
    bare: dict[str, Any] = {**QUIET, "grid": False}
    above = alt.X("value:O", title=None, sort=list(values), axis=alt.Axis(**bare, labels=False))
    # Words of a value stand below each other.
    named = alt.Axis(**bare, labelAngle=0, labelExpr="split(datum.label, ' ')")
    below = alt.X("value:O", title=sweep, sort=list(values), axis=named)
    error = alt.Y("error:Q", title="error minus usual", axis=alt.Axis(tickCount=4, **QUIET))
    used = alt.Y("used:Q", title=_EXPERTS, scale=alt.Scale(domain=[0, 8]), axis=alt.Axis(tickCount=4, **QUIET))
    zero = alt.Chart(alt.InlineData(values=[{"error": 0}])).mark_rule(color="var(--muted)", strokeDash=[4, 3])
    errors = (
        zero.encode(y="error:Q")
        + base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(x=above, y="low:Q", y2="high:Q")
        + marks.encode(x=above, y=error)
    )
    chart = alt.vconcat(
        errors.properties(width=WIDTH, height=130),
        marks.encode(x=below, y=used).properties(width=WIDTH, height=90),
        spacing=12,
    )
    said = "; ".join(point["what"] for point in points)
    return finish(chart, f"gate-{sweep}", f"Test error and experts a task by {sweep}. {said}.")


def _point(value: str, measured: Mapping[str, Any], usual: Sequence[float]) -> dict[str, Any]:
    error = paired(measured["mse"], usual)
    early, late, used = (interval(measured[name])["mean"] for name in ("early", "late", "used"))
    verdict = _VERDICTS[1] if early > 0.5 else _VERDICTS[2] if late > 0.5 else _VERDICTS[0]
    difference, half = error["difference"], error["half_width"] or 0.0
    return {
        "value": value,
        "error": difference,
        "low": difference - half,
        "high": difference + half,
        "used": used,
        "series": verdict,
        "what": f"{value}: error {difference:+.3f}, {used:.1f} experts, {verdict}",
    }
