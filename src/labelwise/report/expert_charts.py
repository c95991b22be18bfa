"""Charts of gates and experts, as inline SVG: weights over training, and which tasks go together."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from markupsafe import Markup

from labelwise.report.charts import QUIET, WIDTH, axis_label, finish, named_axis
from labelwise.report.plain import clip

PANELS = 12  # tasks that get a panel each
POINTS = 60  # epochs that are drawn of a long training
_USED = 1e-5  # weights up to this do not count as use


def gate_training(tasks: Sequence[str], training: Sequence[Mapping[str, Any]], name: str) -> Markup:
    """Weight of each expert by epoch, a panel a task: experts that are used at the end are coloured and numbered."""
    if not training:
        return Markup("")
    chosen = sorted({round(at) for at in np.linspace(0, len(training) - 1, POINTS)})
    rows = [training[at] for at in chosen]
    panels = [
        _panel(axis_label(task, at), [(row["epoch"], row["load"][task]) for row in rows])
        for at, task in enumerate(tasks[:PANELS])
    ]
    used = "; ".join(
        f"{clip(task, 60)}: {_used(training[0], task)} at first, {_used(training[-1], task)} at last"
        for task in tasks[:PANELS]
    )
    label = f"Weights of the experts over {len(training)} epochs. Experts in use, {clip(used, 500)}."
    return finish(alt.concat(*panels, columns=2, spacing=18), name, label)


def _used(row: Mapping[str, Any], task: str) -> int:
    return sum(weight > _USED for weight in row["load"][task])


def _panel(title: str, loads: Sequence[tuple[int, Sequence[float]]]) -> Any:
    last = loads[-1]
    values = [
        {
            "epoch": epoch,
            "weight": weight,
            "expert": expert,
            "kept": last[1][expert] > _USED,
            "what": f"expert {expert + 1}",
        }
        for epoch, weights in loads
        for expert, weight in enumerate(weights)
    ]
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, tickCount=4, format="d", **QUIET)),
        y=alt.Y("weight:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=3, **QUIET)),
        detail="expert:N",
        description="what:N",
    )
    given_up = base.transform_filter("!datum.kept").mark_line(color="var(--muted)", strokeWidth=1, opacity=0.6)
    kept = base.transform_filter("datum.kept").mark_line(color="var(--accent)", strokeWidth=2)
    ends = [
        {"epoch": last[0], "weight": weight, "number": str(expert + 1)}
        for expert, weight in enumerate(last[1])
        if weight > _USED
    ]
    numbers = alt.Chart(alt.InlineData(values=ends)).mark_text(align="left", dx=4, fontSize=12.5, color="var(--ink)")
    numbers = numbers.encode(x="epoch:Q", y="weight:Q", text="number:N")
    heading = alt.Title(title, anchor="start", color="var(--ink)", fontSize=13.5, fontWeight=500, limit=WIDTH // 2 - 30)
    return (given_up + kept + numbers).properties(width=WIDTH // 2 - 30, height=90, title=heading)


def task_tree(tasks: Sequence[str], tree: Mapping[str, Any], name: str) -> Markup:
    """Tasks joined by the experts that they share: the further left two meet, the more of them they have in common."""
    rows = {task: float(place) for place, task in enumerate(tree["order"])}
    ends = dict.fromkeys(rows, 0.0)
    lines = []
    for number, (left, right, apart) in enumerate(tree["merges"], len(tasks)):
        what = f"{1 - apart:.0%} of experts in common"
        for child in (left, right):
            lines.append({"x": ends[child], "x2": apart, "y": rows[child], "y2": rows[child], "what": what})
        lines.append({"x": apart, "x2": apart, "y": rows[left], "y2": rows[right], "what": what})
        rows[number], ends[number] = (rows[left] + rows[right]) / 2, apart
    names = [axis_label(tasks[task], task) for task in tree["order"]]
    chart = (
        alt.Chart(alt.InlineData(values=lines))
        .mark_rule(color="var(--accent)", strokeWidth=2, strokeCap="round")
        .encode(
            x=alt.X(
                "x:Q",
                title="experts not in common",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format=".0%", tickCount=5, **QUIET),
            ),
            x2="x2:Q",
            y=alt.Y(
                "y:Q",
                title=None,
                scale=alt.Scale(domain=[len(names) - 0.5, -0.5], nice=False),
                axis=named_axis(names, values=list(range(len(names)))),
            ),
            y2="y2:Q",
            description="what:N",
        )
        .properties(width=WIDTH - 120, height=max(80, 26 * len(names)))
    )
    first, second, apart = tree["merges"][0]
    nearest = f"{clip(tasks[first], 60)} and {clip(tasks[second], 60)} share most, {1 - apart:.0%}"
    return finish(chart, name, f"Tree of {len(tasks)} tasks by the experts that they share: {nearest}.")
