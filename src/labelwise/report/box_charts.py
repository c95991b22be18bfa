"""Precision by recall of a detector, as inline SVG."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
from markupsafe import Markup

from labelwise.report.charts import QUIET, WIDTH, axis_label, colour, dash, finish


def precision_recall(curves: Mapping[str, Sequence[float]], name: str, overlap: str) -> Markup:
    """Precision against recall, a line a class; the area under a line is its average precision."""
    if not curves:
        return Markup("")
    shown = {one: axis_label(one, at) for at, one in enumerate(curves)}
    values = [
        {"series": shown[one], "recall": at / (len(curve) - 1), "precision": value}
        for one, curve in curves.items()
        for at, value in enumerate(curve)
    ]
    share = alt.Scale(domain=[0, 1])
    names = list(shown.values())
    lines = (
        alt.Chart(alt.InlineData(values=values))
        .mark_line(strokeWidth=2, interpolate="step-before")
        .encode(
            x=alt.X("recall:Q", title="recall", scale=share, axis=alt.Axis(format=".0%", tickCount=5, **QUIET)),
            y=alt.Y("precision:Q", title="precision", scale=share, axis=alt.Axis(format=".0%", tickCount=5, **QUIET)),
            color=colour(names),
            strokeDash=dash(names),
        )
    )
    areas = "; ".join(f"{shown[one]} {float(np.mean(curve)):.3f}" for one, curve in curves.items())
    label = f"Precision against recall where boxes overlap by at least {overlap}; average precision: {areas}."
    return finish(lines.properties(width=WIDTH - 60, height=240), name, label)
