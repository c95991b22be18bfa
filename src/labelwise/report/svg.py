"""From a Vega-Lite chart to a small, safe piece of SVG that stands inside a page and takes its colours from it."""

import re
from typing import Any
from xml.etree import ElementTree

import vl_convert
from markupsafe import Markup

SCALE = 1.2  # a chart is drawn small, so that its text stays readable when a phone shrinks it, and shown larger
WIDE = 540  # pixels from which a chart keeps its size and scrolls where it does not fit

TEXT = 0.88  # the page's font may be wider than the one that Vega lays out with, so text is drawn smaller than that

_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_NAMESPACE = "{http://www.w3.org/2000/svg}"
# Kept: what draws. The rest (classes, roles inside the picture, fonts that the page sets) only makes the page longer.
_ATTRIBUTES = {
    *("x", "y", "dy", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "d", "transform", "points", "offset"),
    *("fill", "fill-opacity", "opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray"),
    *(
        "stroke-linecap",
        "stroke-linejoin",
        "text-anchor",
        "dominant-baseline",
        "font-size",
        "font-weight",
        "font-style",
    ),
    *("id", "clip-path"),
}
_ELEMENTS = {"svg", "g", "path", "line", "rect", "circle", "text", "tspan", "defs", "clipPath"}


def draw(chart: Any, name: str, label: str) -> Markup:
    """The chart as inline SVG with transparent ground; `label` is what a screen reader says of it.

    `name` (letters, digits, hyphens) makes the ids inside unique in the page. Marks keep their Vega description as a
    tool tip. Colours may be any CSS, such as `var(--accent)`. Equal charts give equal bytes.
    """
    specification = chart.configure_view(stroke=None).to_dict()
    specification["background"] = None
    root = ElementTree.fromstring(vl_convert.vegalite_to_svg(specification))
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    body = "".join(_tidy(child, name) for child in root)
    frame = '<svg class="{}" viewBox="0 0 {:g} {:g}" width="{:.0f}" height="{:.0f}" role="img" aria-label="{}">{}</svg>'
    shown = (SCALE * width, SCALE * height)
    return Markup(frame).format(
        "chart wide" if shown[0] > WIDE else "chart", width, height, *shown, label, Markup(body)
    )


def _tidy(element: ElementTree.Element, name: str) -> str:
    tag = element.tag.removeprefix(_NAMESPACE)
    if tag not in _ELEMENTS or element.get("display") == "none" or element.get("opacity") == "0":
        return ""
    if tag == "path" and element.get("d", "") in ("", "M0,0h0v0h0Z"):
        return ""
    if tag == "path" and element.get("class") == "background" and not (element.get("fill") or element.get("stroke")):
        return ""
    inner = str(Markup.escape(element.text or "")) + "".join(_tidy(child, name) for child in element)
    if not inner and tag in ("g", "text", "defs"):
        return ""
    if element.get("role") == "graphics-symbol" and tag not in ("g", "text") and element.get("aria-label"):
        inner = f"<title>{Markup.escape(element.get('aria-label'))}</title>{inner}"
    attributes = "".join(
        f' {key}="{Markup.escape(_value(key, value, name))}"'
        for key, value in element.items()
        if key in _ATTRIBUTES and (key, value) != ("opacity", "1")
    )
    if tag == "g" and not attributes:
        return inner
    return f"<{tag}{attributes}>{inner}</{tag}>"


def _value(key: str, value: str, name: str) -> str:
    if key == "font-size":
        return f"{TEXT * float(value.removesuffix('px')):.1f}px"
    if key == "id":
        return f"{name}-{value}"
    if key == "clip-path":
        return _REFERENCE.sub(rf"url(#{name}-\1)", value)
    return _NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), value)
