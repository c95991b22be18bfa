"""Which model is best as the share of wrong labels changes, as inline SVG."""

from collections.abc import Mapping
from typing import Any

import altair as alt
from markupsafe import Markup

from labelwise.report.charts import QUIET, WIDTH, axis_label, colour, dash, finish
from labelwise.report.plain import clip


def destabilisation(facts: Mapping[str, Any], name: str, task: str) -> Markup:
    """Accuracy against the share of corrected labels, a line a model, with rings where two models change places."""
    order = [row["model"] for row in facts["models"]]
    shown = {model: axis_label(model, at) for at, model in enumerate(order)}
    names = list(shown.values())
    values = [{**row, "series": shown[row["model"]]} for row in facts["curves"]]
    share = alt.X(
        "share:Q",
        title="share of corrected labels",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%", tickCount=5, **QUIET),
    )
    level = alt.Y(
        "accuracy:Q",
        title="accuracy",
        scale=alt.Scale(zero=False, nice=True),
        axis=alt.Axis(format=".0%", tickCount=5, **QUIET),
    )
    base = alt.Chart(alt.InlineData(values=values)).encode(x=share, color=colour(names))
    bands = base.mark_area(opacity=0.13).encode(y=alt.Y("low:Q", title="accuracy"), y2="high:Q")
    lines = base.mark_line(strokeWidth=2).encode(y=level, strokeDash=dash(names))
    here = alt.Chart(alt.InlineData(values=[{"share": facts["share"], "text": f"these data: {facts['share']:.1%}"}]))
    rule = here.mark_rule(color="var(--muted)", strokeDash=[4, 3]).encode(x="share:Q")
    side: Any = "left" if facts["share"] < 0.5 else "right"
    words = here.mark_text(align=side, dx=5 if side == "left" else -5, dy=10, color="var(--muted)", fontSize=12.5)
    chart = bands + lines + rule + words.encode(x="share:Q", y=alt.value(0), text="text:N")
    models = {row["model"]: row for row in facts["models"]}
    marks = [
        {
            "share": row["share"],
            "accuracy": row["share"] * models[row["below"]]["on_wrong"]
            + (1 - row["share"]) * models[row["below"]]["on_right"],
            "what": f"beyond {row['share']:.1%}, {clip(row['above'], 40)} is ahead of {clip(row['below'], 40)}",
        }
        for row in facts["crossings"]
    ]
    if marks:
        rings = alt.Chart(alt.InlineData(values=marks)).mark_point(
            size=90, strokeWidth=2, color="var(--ink)", opacity=1
        )
        chart += rings.encode(x="share:Q", y="accuracy:Q", description="what:N")
    changes = "; ".join(mark["what"] for mark in marks[:6]) or "no two models change places"
    label = f"Accuracy of {len(order)} models of {task} as the share of corrected labels grows: {changes}."
    return finish(chart.properties(width=WIDTH, height=240), name, label)
