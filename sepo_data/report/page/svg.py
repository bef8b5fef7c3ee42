"""The SVG of a figure as a part of the page: only drawing is left, in attributes that the page's policy allows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Mapping

SPACE = "{http://www.w3.org/2000/svg}"
ELEMENTS = frozenset(
    {"svg", "g", "path", "rect", "line", "circle", "text", "tspan", "defs", "clipPath", "linearGradient", "stop"}
)
ATTRIBUTES = frozenset(
    {
        "id", "class", "d", "transform", "x", "y", "x1", "x2", "y1", "y2", "dx", "dy", "cx", "cy", "r", "rx", "ry",
        "width", "height", "viewBox", "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity",
        "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit", "opacity",
        "clip-path", "text-anchor", "dominant-baseline", "font-size", "font-weight", "font-style", "offset",
        "stop-color", "stop-opacity", "gradientUnits", "clipPathUnits", "display",
    }
)  # fmt: skip
"""Attributes of drawing: no `style`, no link, no event handler. `aria-` ones go, too: the page gives the SVG a name."""

DEFAULTS = frozenset({("opacity", "1"), ("stroke-width", "1"), ("font-weight", "normal")})
WHITE = frozenset({"white", "#fff", "#ffffff"})

_LONG = re.compile(r"-?\d+\.\d{3,}")


def inline_svg(picture: str, prefix: str, title: str) -> str:
    """The picture with a title for screen readers; `prefix` begins its ids, which no other picture may have.

    Args:
        picture: an SVG that vl-convert wrote.
        prefix: letters, digits and hyphens.
        title: of the figure.
    """
    root = ET.fromstring(picture)  # noqa: S314 - vl-convert wrote it, without a DTD
    # vl-convert counts ids over all pictures of a process; here they do not depend on what was drawn before.
    found = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    _clean(root, {old: f"{prefix}-{number}" for number, old in enumerate(found)})
    width, height = root.attrib.pop("width"), root.attrib.pop("height")
    root.attrib.setdefault("viewBox", f"0 0 {width} {height}")
    named = ET.Element(f"{SPACE}title", {"id": f"{prefix}-title"})
    named.text = title
    root.insert(0, named)
    root.attrib |= {"role": "img", "aria-labelledby": f"{prefix}-title", "focusable": "false"}
    ET.register_namespace("", SPACE.strip("{}"))
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def _clean(element: ET.Element[Any], ids: Mapping[str, str]) -> None:
    """Leave drawing alone in the element and below."""
    attributes = _drawing(element, ids)
    element.attrib.clear()
    element.attrib.update(attributes)
    for child in list(element):
        unseen = child.get("display") == "none" or child.get("d") == "" or _is_ground(child)
        if unseen or child.tag.removeprefix(SPACE) not in ELEMENTS:
            element.remove(child)
        else:
            _clean(child, ids)


def _drawing(element: ET.Element[Any], ids: Mapping[str, str]) -> dict[str, str]:
    """The attributes that draw, without defaults; a class for what takes the colours of the page or does not."""
    found = {name: value for name, value in element.attrib.items() if name in ATTRIBUTES}
    if "id" in found:
        found["id"] = ids[found["id"]]
    for name, value in found.items():
        if "url(" in value:
            target = ids.get(value.removeprefix("url(#").removesuffix(")"))
            found[name] = f"url(#{target})" if target else "none"
        elif name in {"d", "transform"}:
            found[name] = _LONG.sub(lambda number: f"{float(number[0]):.2f}", value)
    if element.tag == f"{SPACE}rect" and found.get("fill") == "white":
        found["class"] = "ground"
    if _is_on_colour(element):
        found["class"] += " on-colour"
    return {name: value for name, value in found.items() if (name, value) not in DEFAULTS}


def _is_on_colour(element: ET.Element[Any]) -> bool:
    """A group of texts that stand on coloured areas: some of them are white, and none takes the colours of the page."""
    roles = element.get("class", "").split()
    return {"mark-text", "role-mark"} <= set(roles) and any(text.get("fill") in WHITE for text in element)


def _is_ground(element: ET.Element[Any]) -> bool:
    """An area behind marks that has no colour of its own."""
    fill, stroke = element.get("fill", "none"), element.get("stroke-width", "0")
    return element.get("class") == "background" and fill == "none" and stroke == "0"
