"""The page as one file: a policy that fits it, and hostile texts as data."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from sepo_data.report.page.document import document
from sepo_data.report.pairs.json_text import json_text

PLACES = (
    "title", "heading", "generator", "lede", "directories", "numbers", "sample", "tracks", "disagreement", "charts",
    "footer",
)  # fmt: skip


class Page(HTMLParser):
    """The elements of a page in order, and the text in each `<script>` and `<style>`."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag if tag in self.raw else ""
        if self.inside:
            self.raw[tag].append("")

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside:
            self.raw[self.inside][-1] += data


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(document(dict.fromkeys(PLACES, ""), {"pairs": {"prompts": ["</script><b>\u2028&"]}}).decode())


def directives(page: Page) -> dict[str, list[str]]:
    [policy] = [made["content"] for tag, made in page.elements if made.get("http-equiv") == "Content-Security-Policy"]
    return {name: values for name, *values in (part.split() for part in policy.split(";"))}


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_allows_this_script_and_this_style_alone(page):
    data, script = page.raw["script"]
    [style] = page.raw["style"]
    assert directives(page) == {
        "default-src": ["'none'"],
        "script-src": [digest(script)],
        "style-src": [digest(style)],
        "img-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["'none'"],
    }
    assert json.loads(data)["pairs"]["prompts"] == ["</script><b>\u2028&"]


def test_the_policy_comes_before_anything_that_it_bounds(page):
    tags = [tag for tag, _ in page.elements]
    [place] = [number for number, (_, made) in enumerate(page.elements) if "http-equiv" in made]
    assert set(tags[:place]) == {"html", "head", "meta"}


def test_no_server_can_give_the_page_another_charset():
    """The byte order mark comes before what a server says; the hashes of the policy are of UTF-8."""
    assert document(dict.fromkeys(PLACES, ""), {}).startswith(b"\xef\xbb\xbf<!doctype html>")


def test_nothing_of_the_page_needs_an_inline_style_or_handler(page):
    for tag, made in page.elements:
        assert not {name for name in made if name == "style" or name.startswith("on")}, tag
        assert not {"src", "srcset", "action", "data"} & set(made), tag
        assert made.get("href", "#").startswith(("#", "data:image/svg+xml,")), tag


def test_the_style_loads_nothing(page):
    [style] = page.raw["style"]
    assert not re.search(r"url\(|@import|https?:|//", style)


def test_json_closes_no_element():
    text = json_text({"a": "</script><!-- <script> & \u2028\u2029 ]]>"})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"a": "</script><!-- <script> & \u2028\u2029 ]]>"}
    with pytest.raises(ValueError, match="JSON"):
        json_text({"a": float("nan")})


def test_a_place_of_the_template_that_is_not_filled_is_an_error():
    with pytest.raises(KeyError):
        document({}, {})


def test_a_filled_place_is_no_template():
    parts = dict.fromkeys(PLACES, "") | {"lede": "$title ${footer} $$"}
    assert b"$title ${footer} $$" in document(parts, {})
