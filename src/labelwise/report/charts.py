"""Charts of the facts, as inline SVG. Every function takes plain facts and gives markup with a spoken description."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from markupsafe import Markup

from labelwise.report.plain import clip
from labelwise.report.svg import draw

WIDTH = 380
BARS = 30  # classes that still get a bar each
CURVE = 300  # points of a ranked curve
RARE = 10

_SERIES = ("var(--accent)", "var(--second)", "var(--third)", "var(--fourth)")
_SHAPES = ("circle", "square", "triangle-up", "diamond")
_DASHES = ([1, 0], [5, 3], [2, 2], [8, 3, 2, 3])
QUIET: dict[str, Any] = {
    "domain": False,
    "ticks": False,
    "gridColor": "var(--line)",
    "gridWidth": 1,
    "labelColor": "var(--muted)",
}


def class_counts(counts: Mapping[str, int], name: str, task: str) -> Markup:
    """Rows of each class on a log scale: a bar each for few classes, else the curve of counts by rank."""
    ranked = sorted(counts.items(), key=lambda pair: -pair[1])
    if not ranked or ranked[0][1] == 0:
        return Markup("")
    most, least = ranked[0], next(pair for pair in reversed(ranked) if pair[1])
    label = (
        f"Rows of each of the {len(ranked):,} classes of {task}, on a logarithmic scale: from {least[1]:,} "
        f"({clip(least[0], 60)}) to {most[1]:,} ({clip(most[0], 60)})."
    )
    chart = _bars(ranked) if len(ranked) <= BARS else _ranked_curve([count for _, count in ranked])
    return finish(chart, name, label)


def _bars(ranked: Sequence[tuple[str, int]]) -> Any:
    names = [axis_label(label, at) for at, (label, _) in enumerate(ranked)]
    values = [
        {"class": names[at], "at": at, "rows": max(count, 0.5), "count": f"{count:,}"}
        for at, (_, count) in enumerate(ranked)
    ]
    top = ranked[0][1]
    # Bars of a log scale have no natural foot; half a row keeps one row visible and lets none have no length.
    rows = alt.X("rows:Q", title="rows (log scale)", scale=alt.Scale(type="log", domain=[0.5, top * 1.6], nice=False))
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=rows.axis(values=_powers(top), format="~s", **QUIET),
        y=alt.Y("at:O", title=None, axis=named_axis(names)),
    )
    bars = base.mark_bar(color="var(--accent)", cornerRadiusEnd=2, height={"band": 0.72}).encode(
        x2=alt.datum(0.5), description="class:N"
    )
    numbers = base.mark_text(align="left", dx=4, color="var(--ink)", fontSize=12.5).encode(text="count:N")
    return (bars + numbers).properties(width=WIDTH - 120, height=max(60, 21 * len(values)))


def _ranked_curve(counts: Sequence[int]) -> Any:
    present = [count for count in counts if count]
    ranks = sorted({round(rank) for rank in np.geomspace(1, len(present), CURVE)} | {len(present)})
    values = [{"rank": rank, "rows": present[rank - 1]} for rank in ranks]
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X(
            "rank:Q", title="classes, largest first", axis=alt.Axis(tickCount=5, **QUIET), scale=alt.Scale(nice=False)
        ),
        y=alt.Y(
            "rows:Q",
            title="rows (log scale)",
            scale=alt.Scale(type="log", domain=[0.8, present[0] * 1.3], nice=False),
            axis=alt.Axis(values=_powers(present[0]), format="~s", **QUIET),
        ),
    )
    area = base.mark_area(color="var(--accent)", opacity=0.14).encode(y2=alt.datum(0.8))
    line = base.mark_line(color="var(--accent)", strokeWidth=2)
    chart = area + line
    if present[-1] < RARE <= present[0]:
        mark = alt.Chart(alt.InlineData(values=[{"rows": RARE, "text": f"{RARE} rows"}])).encode(y="rows:Q")
        chart += mark.mark_rule(color="var(--second)", strokeDash=[4, 3])
        chart += mark.mark_text(color="var(--second)", align="left", dx=4, dy=-6, fontSize=12.5).encode(
            text="text:N", x=alt.value(0)
        )
    return chart.properties(width=WIDTH, height=230)


def confusion(classes: Sequence[str], matrix: Sequence[Sequence[int]], name: str, task: str) -> Markup:
    """Given (rows) against likely labels (columns): how often; the darker, the more."""
    top = max(max(row) for row in matrix)
    names = [axis_label(label, at) for at, label in enumerate(classes)]
    values = [
        {
            "given": at,
            "likely": other,
            "count": count,
            "strength": strength(count / top),
            "what": f"{names[at]} is likely {names[other]}: {count:,}",
        }
        for at, row in enumerate(matrix)
        for other, count in enumerate(row)
        if count
    ]
    side = 26 if len(classes) <= 20 else 20
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X(
            "likely:O",
            title="likely label",
            scale=alt.Scale(domain=list(range(len(classes)))),
            axis=named_axis(names, orient="top", labelAngle=angle(names), labelLimit=110),
        ),
        y=alt.Y(
            "given:O", title="given label", scale=alt.Scale(domain=list(range(len(classes)))), axis=named_axis(names)
        ),
    )
    label = (
        f"Given against likely labels of {task}: {sum(map(sum, matrix)):,} findings; the table below lists the pairs."
    )
    chart = cells(base, "count:Q", side).properties(width=side * len(classes), height=side * len(classes))
    return finish(chart, name, label)


def gate_weights(tasks: Sequence[str], weights: Sequence[Sequence[float]], name: str) -> Markup:
    """How much each task (row) leans on each expert (column); an empty cell is an expert that the task does not use."""
    values = [
        {
            "task": at,
            "expert": expert + 1,
            "share": f"{weight:.2f}".removeprefix("0"),
            "strength": strength(weight),
            "what": f"{clip(task, 60)}, expert {expert + 1}: {weight:.3f}",
        }
        for at, (task, row) in enumerate(zip(tasks, weights, strict=True))
        for expert, weight in enumerate(row)
        if weight > 0
    ]
    experts = len(weights[0])
    side = 36 if experts <= 16 else 26
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X(
            "expert:O",
            title="expert",
            scale=alt.Scale(domain=list(range(1, experts + 1))),
            axis=alt.Axis(orient="top", labelAngle=0, grid=False, **{**QUIET, "labelColor": "var(--ink)"}),
        ),
        y=alt.Y(
            "task:O",
            title=None,
            scale=alt.Scale(domain=list(range(len(tasks)))),
            axis=named_axis([axis_label(task, at) for at, task in enumerate(tasks)]),
        ),
    )
    chosen = "; ".join(
        f"{clip(task, 60)} uses {', '.join(str(e + 1) for e, w in enumerate(row) if w > 0) or 'none'}"
        for task, row in zip(tasks, weights, strict=True)
    )
    chart = cells(base, "share:N", side).properties(width=side * experts, height=side * len(tasks))
    return finish(chart, name, f"Weights of {experts} experts in each task: {clip(chosen, 400)}.")


def cells(base: Any, text: str, side: int) -> Any:
    """Cells of a table, the stronger the darker, with the field `text` on them."""
    ground = base.mark_rect(color="var(--accent)", cornerRadius=3, stroke="var(--panel)", strokeWidth=1).encode(
        opacity=alt.Opacity("strength:Q", scale=None, legend=None), description="what:N"
    )
    numbers = base.mark_text(fontSize=12.5 if side > 20 else 10, color="var(--ink)").encode(text=text)
    # The ground shows the extent of the table where cells are empty.
    return (ground + numbers).properties(view=alt.ViewBackground(fill="var(--wash)", stroke=None, cornerRadius=4))


def reliability(series: Mapping[str, Sequence[Mapping[str, Any]]], name: str, task: str) -> Markup:
    """Accuracy against confidence, one line a model; on the dashed diagonal, confidence is earned."""
    values = [
        {
            "series": axis_label(model, at),
            "confidence": point["confidence"],
            "accuracy": point["accuracy"],
            "count": point["count"],
            "what": f"{clip(model, 40)}: confidence {point['confidence']:.2f}, accuracy {point['accuracy']:.2f}, "
            f"{point['count']:,} rows",
        }
        for at, (model, points) in enumerate(series.items())
        for point in points
        if point["count"]
    ]
    if not values:
        return Markup("")
    share = alt.Scale(domain=[0, 1])
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X("confidence:Q", title="confidence", scale=share, axis=alt.Axis(format=".0%", tickCount=5, **QUIET)),
        y=alt.Y("accuracy:Q", title="accuracy", scale=share, axis=alt.Axis(format=".0%", tickCount=5, **QUIET)),
        color=colour([axis_label(model, at) for at, model in enumerate(series)]),
    )
    ends = alt.InlineData(values=[{"confidence": 0, "accuracy": 0}, {"confidence": 1, "accuracy": 1}])
    diagonal = alt.Chart(ends).mark_line(color="var(--muted)", strokeDash=[4, 4], strokeWidth=1)
    diagonal = diagonal.encode(x="confidence:Q", y="accuracy:Q")
    points = base.mark_point(filled=True, opacity=0.9).encode(
        shape=shape([axis_label(model, at) for at, model in enumerate(series)]),
        size=alt.Size("count:Q", scale=alt.Scale(type="sqrt", range=[25, 160]), legend=None),
        description="what:N",
    )
    chart = (diagonal + base.mark_line(strokeWidth=1.5, opacity=0.7) + points).properties(
        width=WIDTH - 90, height=WIDTH - 90
    )
    return finish(chart, name, f"Reliability diagram of {task}: accuracy against confidence for {_listed(series)}.")


def learning_curve(history: Sequence[Mapping[str, Any]], name: str, model: str) -> Markup:
    """Loss by epoch, in training (solid) and validation (dashed), each with a mark where it is lowest."""
    names = {"train_loss": "training", "validation_loss": "validation"}
    values = [
        {
            "epoch": row["epoch"],
            "loss": row[key],
            "series": part,
            "what": f"epoch {row['epoch']}, {part}: {row[key]:.4g}",
        }
        for key, part in names.items()
        for row in history
        if row.get(key) is not None
    ]
    if not values:
        return Markup("")
    parts = [part for part in names.values() if any(value["series"] == part for value in values)]
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, tickCount=6, format="d", **QUIET)),
        y=alt.Y("loss:Q", title="loss", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5, format="~g", **QUIET)),
        color=colour(parts),
    )
    lines = base.mark_line(strokeWidth=2).encode(strokeDash=dash(parts))
    lowest = {part: min((v for v in values if v["series"] == part), key=lambda value: value["loss"]) for part in parts}
    dots = alt.Chart(alt.InlineData(values=list(lowest.values()))).mark_point(filled=True, size=55, opacity=1)
    dots = dots.encode(x="epoch:Q", y="loss:Q", color=colour(parts), shape=shape(parts), description="what:N")
    ending = "; ".join(f"{part} is lowest at epoch {v['epoch']} with {v['loss']:.3g}" for part, v in lowest.items())
    chart = (lines + dots).properties(width=WIDTH, height=220)
    return finish(chart, name, f"Learning curve of {model} over {len(history)} epochs: {ending}.")


def accuracies(rows: Sequence[Mapping[str, Any]], name: str) -> Markup:
    """Accuracy of each model on each task with its 95 % interval."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    models = list(dict.fromkeys(row["model"] for row in rows))
    shown = {model: axis_label(model, at) for at, model in enumerate(models)}
    values = [
        {
            "task": tasks.index(row["task"]),
            "series": shown[row["model"]],
            "value": row["value"],
            "low": row["value"] if row["low"] is None else row["low"],
            "high": row["value"] if row["high"] is None else row["high"],
            "what": f"{clip(row['task'], 40)}, {shown[row['model']]}: {row['value']:.1%}",
        }
        for row in rows
    ]
    lowest = min(value["low"] for value in values)
    base = alt.Chart(alt.InlineData(values=values)).encode(
        y=alt.Y(
            "task:O",
            title=None,
            axis=named_axis(
                [axis_label(task, at) for at, task in enumerate(tasks)], grid=True, gridColor="var(--line)"
            ),
        ),
        yOffset=alt.YOffset("series:N", scale=alt.Scale(domain=list(shown.values()), paddingInner=0.4)),
        color=colour(list(shown.values())),
    )
    scale = alt.Scale(domain=[max(0.0, lowest - 0.05), 1.0], nice=True)
    x = alt.X("low:Q", title="accuracy, 95 % interval", scale=scale, axis=alt.Axis(format=".0%", tickCount=5, **QUIET))
    lines = base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(x=x, x2="high:Q")
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=alt.X("value:Q"), shape=shape(list(shown.values())), description="what:N"
    )
    height = max(70, len(tasks) * (16 * len(models) + 16))
    label = "Accuracy with 95 % intervals. " + "; ".join(value["what"] for value in values[:12]) + "."
    return finish((lines + points).properties(width=WIDTH, height=height), name, label)


def score_histograms(histograms: Mapping[str, Sequence[int]], name: str) -> Markup:
    """How scores spread from 0 to 1: equal bins counted, by the title of the row, each row on its own height."""
    charts = []
    for at, (title, counts) in enumerate(histograms.items()):
        bins = len(counts)
        values = [
            {
                "low": b / bins,
                "high": (b + 1) / bins,
                "count": count,
                "what": f"{b / bins:.2f} to {(b + 1) / bins:.2f}: {count:,}",
            }
            for b, count in enumerate(counts)
            if count
        ]
        last = at == len(histograms) - 1
        axis = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], labels=last, format=".2~f", **QUIET)
        chart = alt.Chart(alt.InlineData(values=values)).mark_rect(color="var(--accent)", stroke="var(--panel)")
        charts.append(
            chart.encode(
                x=alt.X(
                    "low:Q", title="score (1 = worst)" if last else None, scale=alt.Scale(domain=[0, 1]), axis=axis
                ),
                x2="high:Q",
                y2=alt.datum(0),
                y=alt.Y("count:Q", title=None, axis=alt.Axis(tickCount=2, format="~s", **QUIET)),
                description="what:N",
            ).properties(
                width=WIDTH,
                height=62,
                title=alt.Title(title, anchor="start", color="var(--ink)", fontSize=13.5, fontWeight=500),
            )
        )
    if not charts:
        return Markup("")
    label = f"Histograms of finding scores by kind: {', '.join(histograms)}."
    return finish(alt.vconcat(*charts, spacing=10), name, label)


def sparkline(counts: Sequence[int]) -> Markup:
    """A histogram the height of a line of text; the table around it says what it shows."""
    top = max(counts, default=0)
    if not top:
        return Markup("")
    bars = Markup("").join(
        Markup('<rect x="{}" y="{}" width="7" height="{}"/>').format(
            8 * at, round(24 - 24 * n / top, 1), round(24 * n / top, 1)
        )
        for at, n in enumerate(counts)
    )
    width = 8 * len(counts) - 1
    return Markup(
        '<svg class="sparkline" viewBox="0 0 {} 24" width="{}" height="24" aria-hidden="true">{}</svg>'
    ).format(width, width, bars)


def finish(chart: Any, name: str, label: str) -> Markup:
    """Draw a chart with the axes of all charts here; see `draw`."""
    titles = {"titleColor": "var(--muted)", "titleFontSize": 12.5, "titleFontWeight": "normal", "labelFontSize": 12.5}
    legend = {"symbolOpacity": 1}  # however faint the marks
    return draw(chart.configure_axis(**titles).configure_axisY(titlePadding=8).configure_legend(**legend), name, label)


def axis_label(value: str, at: int) -> str:
    """A class name fit for an axis: one line, not empty."""
    return clip(" ".join(value.split()), 60) or f"(class {at})"


def named_axis(names: Sequence[str], **options: Any) -> alt.Axis:
    """An axis over 0, 1, 2, ... that shows names, so that names which are equal once shortened stay apart."""
    # As JSON, a name is one string literal of Vega's expression language, whatever it holds.
    labels = f"{json.dumps(list(names))}[datum.value]"
    return alt.Axis(
        labelExpr=labels, **{**QUIET, "grid": False, "labelColor": "var(--ink)", "labelLimit": 140, **options}
    )


def strength(share: float) -> float:
    """Opacity of a cell: half at most, so that the number on it can be read on light and dark ground alike."""
    return 0.08 + 0.42 * min(1.0, share)


def angle(names: Sequence[str]) -> int:
    """How to turn names under columns that are as wide as a number."""
    return 0 if max(map(len, names)) <= 3 else -90


def _powers(top: int) -> list[int]:
    return [10**power for power in range(len(str(int(top))))]


def _listed(names: Mapping[str, Any]) -> str:
    return clip(", ".join(names), 200) or "no model"


def _legend() -> alt.Legend:
    return alt.Legend(
        title=None, orient="top", labelColor="var(--ink)", symbolSize=70, symbolStrokeWidth=0, labelFontSize=12.5
    )


def colour(names: Sequence[str]) -> alt.Color:
    """The colour of each of the first four values of the field `series`, with a legend."""
    colours = [_SERIES[at % len(_SERIES)] for at in range(len(names))]
    return alt.Color("series:N", scale=alt.Scale(domain=list(names), range=colours), legend=_legend())


def shape(names: Sequence[str]) -> alt.Shape:
    """The shape of points for each value of the field `series`, in the same legend."""
    shapes = [_SHAPES[at % len(_SHAPES)] for at in range(len(names))]
    return alt.Shape("series:N", scale=alt.Scale(domain=list(names), range=shapes), legend=_legend())


def dash(names: Sequence[str]) -> alt.StrokeDash:
    """The dashes of lines for each value of the field `series`, for those who do not see colours."""
    return alt.StrokeDash("series:N", scale=alt.Scale(domain=list(names), range=list(_DASHES)), legend=None)
