"""Charts of the comparison `noisy`, as inline SVG: mean ranks with their critical difference, and gains."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from markupsafe import Markup

from labelwise.bench.recommending import REFERENCE
from labelwise.report.charts import QUIET, WIDTH, finish

_ROW = 17  # pixels a method


def charts(result: Mapping[str, Any]) -> dict[str, Markup]:
    """All charts of a result by name: `noisy-ranks` and `noisy-gains`."""
    return {"noisy-ranks": _ranks(result["ranks"]), "noisy-gains": _gains(result)}


def _ranks(ranks: Mapping[str, Any]) -> Markup:
    """Methods at their mean ranks, the best on top, each with what lies within the critical difference of the best."""
    names, difference = list(ranks["ranks"]), ranks["critical_difference"]
    best = ranks["ranks"][names[0]]
    points = [
        {"method": name, "rank": rank, "what": f"{name}: mean rank {rank:.1f}"} for name, rank in ranks["ranks"].items()
    ]
    base = alt.Chart(alt.InlineData(values=points)).encode(y=_methods(names))
    within = alt.Chart(alt.InlineData(values=[{"low": best, "high": best + difference}])).mark_rect(opacity=0.16)
    scale = alt.Scale(domain=[1, len(names)], nice=False)
    axis = alt.X("rank:Q", title="mean rank", scale=scale, axis=alt.Axis(tickCount=8, **QUIET))
    chart = within.encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q", color=alt.value("var(--muted)")
    ) + base.mark_point(filled=True, size=70, opacity=1, color="var(--ink)").encode(x=axis, description="what:N")
    said = "; ".join(point["what"] for point in points)
    label = (
        f"Mean ranks over {ranks['data_sets']} data sets. {said}. The band is the critical difference of "
        f"{difference:.1f}: methods within it are not told apart from the best."
    )
    return finish(chart.properties(width=WIDTH, height=_ROW * len(names)), "noisy-ranks", label)


def _gains(result: Mapping[str, Any]) -> Markup:
    """Points of accuracy that each method gains over the reference, a tick a data set, and their median."""
    names = [name for name in result["ranks"]["ranks"] if name != REFERENCE]
    values = []
    for setting, methods in result["figures"].items():
        for name in names:
            gain = 100 * float(np.mean(methods[name]["accuracy"]) - np.mean(methods[REFERENCE]["accuracy"]))
            values.append({"method": name, "gain": gain, "what": f"{name}, {setting}: {gain:+.1f} points"})
    base = alt.Chart(alt.InlineData(values=values)).encode(y=_methods(names))
    axis = alt.X("gain:Q", title=f"points of accuracy above {REFERENCE}", axis=alt.Axis(tickCount=6, **QUIET))
    zero = alt.Chart(alt.InlineData(values=[{"gain": 0}])).mark_rule(color="var(--muted)", strokeDash=[4, 3])
    ticks = base.mark_tick(thickness=2, color="var(--ink)", opacity=0.75).encode(x=axis, description="what:N")
    chart = (zero.encode(x="gain:Q") + ticks).properties(width=WIDTH, height=_ROW * len(names))
    return finish(
        chart, "noisy-gains", f"Points of accuracy above {REFERENCE} by method and data set. " + _spread(values)
    )


def _spread(values: Sequence[Mapping[str, Any]]) -> str:
    by_name: dict[str, list[float]] = {}
    for each in values:
        by_name.setdefault(each["method"], []).append(each["gain"])
    return "; ".join(f"{name}: {min(gains):+.1f} to {max(gains):+.1f}" for name, gains in by_name.items()) + "."


def _methods(names: Sequence[str]) -> Any:
    return alt.Y("method:N", title=None, sort=list(names), axis=alt.Axis(**{**QUIET, "grid": False}))
