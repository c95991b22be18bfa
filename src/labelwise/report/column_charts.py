"""Charts of columns and of rows as a whole, as inline SVG; see `charts` for what they share."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
from markupsafe import Markup

from labelwise.report.charts import QUIET, WIDTH, axis_label, cells, finish, named_axis, strength
from labelwise.report.plain import clip

SIDE = 250  # pixels of a joint view
WRITTEN = 16  # columns whose cells still hold a number


def association_map(
    columns: Sequence[Mapping[str, Any]], matrix: Sequence[Sequence[float | None]], name: str
) -> Markup:
    """The association of each two columns below the diagonal: the darker, the stronger, whatever its sign."""
    names = [axis_label(f"{column['name']}{' *' if column['label'] else ''}", at) for at, column in enumerate(columns)]
    values: list[dict[str, Any]] = [
        {
            "row": a,
            "column": b,
            "text": f"{value:.2f}".replace("0.", ".", 1) if len(names) <= WRITTEN else "",
            "strength": strength(abs(value)),
            "what": f"{names[a]} and {names[b]}: {value:.2f}",
        }
        for a, row in enumerate(matrix)
        for b, value in enumerate(row[:a])
        if value is not None
    ]
    if not values:
        return Markup("")
    side = 34 if len(names) <= WRITTEN else 15
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X(
            "column:O",
            title=None,
            scale=alt.Scale(domain=list(range(len(names) - 1))),
            axis=named_axis(names, labelAngle=-90, labelLimit=120),
        ),
        y=alt.Y("row:O", title=None, scale=alt.Scale(domain=list(range(1, len(names)))), axis=named_axis(names)),
    )
    extent = side * (len(names) - 1)
    strongest = max(values, key=lambda value: value["strength"])["what"]
    label = f"Association of each two of {len(names)} columns; the strongest: {clip(strongest, 200)}. A table follows."
    return finish(cells(base, "text:N", side).properties(width=extent, height=extent), name, label)


def densities(histogram: Mapping[str, Sequence[float]], threshold: float, name: str) -> Markup:
    """How many rows have which log density; left of the dashed line are the unusual ones."""
    edges = histogram["edges"]
    values = [
        {
            "low": edges[at],
            "high": edges[at + 1],
            "rows": count,
            "what": f"{edges[at]:.4g} to {edges[at + 1]:.4g}: {count:,}",
        }
        for at, count in enumerate(histogram["counts"])
        if count
    ]
    bars = alt.Chart(alt.InlineData(values=values)).mark_rect(color="var(--accent)", stroke="var(--panel)")
    x = alt.X("low:Q", title="log density", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6, **QUIET))
    bars = bars.encode(
        x=x,
        x2="high:Q",
        y=alt.Y("rows:Q", title="rows", axis=alt.Axis(tickCount=4, format="~s", **QUIET)),
        y2=alt.datum(0),
        description="what:N",
    )
    mark = alt.Chart(alt.InlineData(values=[{"low": threshold}])).mark_rule(
        color="var(--second)", strokeDash=[4, 3], aria=False
    )
    label = f"Log density of {sum(histogram['counts']):,} rows, from {edges[0]:.4g} to {edges[-1]:.4g}; below "
    label += f"{threshold:.4g} a row is called unusual."
    return finish((bars + mark.encode(x="low:Q")).properties(width=WIDTH, height=150), name, label)


def joint_view(view: Mapping[str, Any], name: str) -> Markup:
    """Two columns together: points of two numbers, ranges of a number by category, or counts of two categories."""
    drawn: Any = {"points": _points, "ranges": _ranges, "counts": _counts}[view["form"]](view)
    what = {"points": "Points", "ranges": "Ranges of the second by the first", "counts": "Counts"}[view["form"]]
    return finish(drawn, name, f"{what}: {clip(view['a'], 80)} and {clip(view['b'], 80)}.")


def _points(view: Mapping[str, Any]) -> Any:
    values = [{"x": x, "y": y} for x, y in zip(view["x"], view["y"], strict=True)]
    scale, axis = alt.Scale(zero=False), alt.Axis(tickCount=5, format=".6~g", **QUIET)
    base = alt.Chart(alt.InlineData(values=values)).mark_point(
        filled=True, size=28, opacity=0.45, color="var(--accent)", aria=False
    )
    return base.encode(
        x=alt.X("x:Q", title=clip(view["a"], 40), scale=scale, axis=axis),
        y=alt.Y("y:Q", title=clip(view["b"], 40), scale=scale, axis=axis),
    ).properties(width=SIDE, height=SIDE)


def _ranges(view: Mapping[str, Any]) -> Any:
    names = [axis_label(level["level"], at) for at, level in enumerate(view["levels"])]
    values = [
        {
            "level": at,
            "n": level["n"],
            **dict(zip(("low", "lower", "middle", "upper", "high"), level["quantiles"], strict=True)),
        }
        for at, level in enumerate(view["levels"])
    ]
    for at, value in enumerate(values):
        value["what"] = f"{names[at]}: half of {value['n']:,} rows from {value['lower']:.4g} to {value['upper']:.4g}"
    base = alt.Chart(alt.InlineData(values=values)).encode(y=alt.Y("level:O", title=None, axis=named_axis(names)))
    axis = alt.Axis(tickCount=5, format=".6~g", **QUIET)
    x = alt.X("low:Q", title=clip(view["b"], 40), scale=alt.Scale(zero=False), axis=axis)
    whole = base.mark_rule(color="var(--muted)", aria=False).encode(x=x, x2="high:Q")
    half = base.mark_bar(color="var(--accent)", opacity=0.55, height={"band": 0.6}).encode(
        x=alt.X("lower:Q"), x2="upper:Q", description="what:N"
    )
    middle = base.mark_tick(color="var(--ink)", thickness=2, aria=False, height={"band": 0.6}).encode(
        x=alt.X("middle:Q")
    )
    return (whole + half + middle).properties(width=SIDE, height=max(60, 26 * len(values)))


def _counts(view: Mapping[str, Any]) -> Any:
    rows, columns = ([axis_label(each, at) for at, each in enumerate(view[key])] for key in ("rows", "columns"))
    top = max(max(row) for row in view["counts"])
    values = [
        {"row": a, "column": b, "n": n, "strength": strength(n / top), "what": f"{rows[a]} and {columns[b]}: {n:,}"}
        for a, row in enumerate(view["counts"])
        for b, n in enumerate(row)
        if n
    ]
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X(
            "column:O",
            title=clip(view["b"], 40),
            scale=alt.Scale(domain=list(range(len(columns)))),
            axis=named_axis(columns, labelAngle=-90, labelLimit=100),
        ),
        y=alt.Y(
            "row:O", title=clip(view["a"], 40), scale=alt.Scale(domain=list(range(len(rows)))), axis=named_axis(rows)
        ),
    )
    return cells(base, "n:Q", 34).properties(width=38 * len(columns), height=28 * len(rows))
