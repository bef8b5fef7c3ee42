"""The SVG of a figure in the page: drawing alone, ids of its own."""

import altair as alt
import polars as pl
import pytest

from sepo_data.report.page.svg import inline_svg

SPACE = 'xmlns="http://www.w3.org/2000/svg"'


def test_only_drawing_is_left():
    picture = (
        f'<svg {SPACE} width="20" height="10" style="x" onload="alert(1)"><script>alert(2)</script><a href="x"/>'
        '<image href="http://example.org/x.png"/><foreignObject/><style>*{}</style>'
        '<text fill="#000" style="fill:red" onclick="alert(3)" aria-label="&lt;b&gt;">&lt;b&gt;</text></svg>'
    )
    made = inline_svg(picture, "chart-1", "a < b")
    assert made == (
        f'<svg {SPACE} viewBox="0 0 20 10" role="img" aria-labelledby="chart-1-title" focusable="false">'
        '<title id="chart-1-title">a &lt; b</title><text fill="#000">&lt;b&gt;</text></svg>'
    )


def test_ids_and_references_to_them_begin_with_the_prefix():
    picture = (
        f'<svg {SPACE} width="1" height="1"><g clip-path="url(#clip1)" fill="url(http://example.org/#x)"></g>'
        '<defs><clipPath id="clip1"><rect width="1" height="1" fill="red"/></clipPath></defs></svg>'
    )
    made = inline_svg(picture, "chart-7", "t")
    assert 'clip-path="url(#chart-7-0)" fill="none"' in made
    assert '<clipPath id="chart-7-0">' in made
    assert made == inline_svg(picture.replace("clip1", "clip23"), "chart-7", "t")


def test_long_numbers_are_rounded_to_hundredths():
    picture = f'<svg {SPACE} width="1" height="1"><path d="M0.123456,10L1e-7,2.5" transform="rotate(-90.0001)"/></svg>'
    assert 'd="M0.12,10L1e-7,2.5" transform="rotate(-90.00)"' in inline_svg(picture, "c", "t")


def test_texts_on_colour_are_told_apart():
    texts = '<text fill="black">1</text><text fill="white">2</text>'
    picture = f'<svg {SPACE} width="1" height="1"><g class="mark-text role-mark">{texts}</g></svg>'
    assert '<g class="mark-text role-mark on-colour">' in inline_svg(picture, "c", "t")
    assert "on-colour" not in inline_svg(picture.replace("white", "#444444"), "c", "t")


@pytest.mark.parametrize("kind", ["line", "rect"])
def test_a_picture_of_vl_convert_keeps_its_marks_and_words(kind):
    table = pl.DataFrame({"x": [1, 2], "y": [1.0, 3.0], "s": ["a<b>", "\u05d0"]})
    chart = alt.Chart(table)
    marks = chart.mark_rect() if kind == "rect" else chart.mark_line(clip=True)
    picture = marks.encode(x="x:Q", y="s:N", color="y:Q").to_dict()
    import vl_convert

    made = inline_svg(vl_convert.vegalite_to_svg(picture), "chart-2", "t")
    assert "a&lt;b&gt;" in made
    assert "\u05d0" in made
    assert " style=" not in made
    assert "mark-rect role-mark" in made if kind == "rect" else "url(#chart-2-" in made
