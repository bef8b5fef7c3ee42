"""Colours and patterns of the sides in charts."""

from __future__ import annotations

from sepo_data.report.side_encoding import GAP, side_colour, side_dash


def test_every_series_differs_by_more_than_its_colour():
    colours, dashes = (encoding(GAP).to_dict()["scale"] for encoding in (side_colour, side_dash))
    assert colours["domain"] == dashes["domain"] == ["chosen", "rejected", "gap"]
    assert len(set(colours["range"])) == len(set(map(tuple, dashes["range"]))) == 3


def test_a_text_of_the_legend_is_data_in_its_expression():
    [expression] = {side_colour(labels={"chosen": 'a"b\\'}).to_dict()["legend"]["labelExpr"]}
    assert expression == '{"chosen": "a\\"b\\\\"}[datum.label] || datum.label'
