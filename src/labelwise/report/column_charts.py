"""Charts of columns and of rows as a whole, as inline SVG; see `charts` for what they share."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
from markupsafe import Markup

from labelwise.report.charts import QUIET, WIDTH, axis_label, cells, finish, named_axis, strength
from labelwise.report.plain import clip

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
    mark = alt.Chart(alt.InlineData(values=[{"low": threshold}])).mark_rule(color="var(--second)", strokeDash=[4, 3])
    label = f"Log density of {sum(histogram['counts']):,} rows, from {edges[0]:.4g} to {edges[-1]:.4g}; below "
    label += f"{threshold:.4g} a row is called unusual."
    return finish((bars + mark.encode(x="low:Q")).properties(width=WIDTH, height=150), name, label)
