"""The sliders of a report in a real Chromium: the tokens they mark are those of `sepo select` at every percent."""

from __future__ import annotations

import re

import pytest

from sepo_data.selection.select import select
from sepo_data.stages.scan import scan

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIDES = ("chosen", "rejected")
SWEEP = """
(percents) => {
  const sliders = ['chosen', 'rejected'].map((side) => document.getElementById(`share-${side}`));
  const positions = (side) => [...document.querySelectorAll(`#${side}-tokens .token.selected`)]
    .map((token) => Number(token.dataset.position));
  return [...document.querySelectorAll('#pair-list [role=option]')].map((option) => {
    option.click();
    const masks = percents.map((percent) => {
      for (const slider of sliders) slider.value = String(percent);
      sliders[1].dispatchEvent(new Event('input', {bubbles: true}));
      const texts = ['pair', 'dataset'].map((name) => document.getElementById(`kept-${name}`).textContent);
      return {chosen: positions('chosen'), rejected: positions('rejected'), pair: texts[0], dataset: texts[1]};
    });
    return [document.querySelector('#pair-facts li:last-child').textContent.slice('pair_id '.length), masks];
  });
}
"""
"""Choose every pair and move both sliders to every percent: the pair_id, and what the page shows at each."""

KEPT = re.compile(
    r"([\d,]+) of ([\d,]+) chosen and ([\d,]+) of ([\d,]+) rejected tokens, ([\d.]+)% of the absolute reward; "
    r"(?:mean )?margin of the selection ([+-][\d.]+), of all tokens ([+-][\d.]+)"
)
ALL, SOME = range(1, 101), (1, 10, 30, 77, 100)


def sweep(page, percents) -> dict:
    return dict(page.evaluate(SWEEP, list(percents)))


def numbers(text: str) -> list[float]:
    match = KEPT.fullmatch(text.replace("\N{MINUS SIGN}", "-"))
    assert match, text
    return [float(group.replace(",", "")) for group in match.groups()]


def kept(pairs: list[tuple[dict, dict]]) -> list[float]:
    """What the masks of these pairs keep, worked out token by token; margins are means."""
    counts, absolute, margins = {side: [0, 0] for side in SIDES}, [0.0, 0.0], [0.0, 0.0]
    for row, masks in pairs:
        for side, sign in (("chosen", 1), ("rejected", -1)):
            for position, reward in enumerate(row[f"{side}_rewards"]):
                for place in (0, 1) if position in masks[side] else (1,):
                    counts[side][place] += 1
                    absolute[place] += abs(reward)
                    margins[place] += sign * reward / len(pairs)
    share = 100 * absolute[0] / absolute[1] if absolute[1] else 0
    return [*counts["chosen"], *counts["rejected"], share, *margins]


def assert_masks(page, rewards, masks):
    """Compare the page with the directories that `sepo select` wrote, and its sentences with plain sums."""
    rows = {row["pair_id"]: row for row in scan(rewards).collect().iter_rows(named=True)}
    shown = sweep(page, ALL)
    assert shown.keys() == rows.keys()
    for percent in ALL:
        for side in SIDES:
            found = {pair: shown[pair][percent - 1][side] for pair in shown}
            assert found == masks[percent][side], f"{side} at {percent}%"
    about = [0, 0, 0, 0, 0.0501, 0.000501, 0.000501]
    for percent in SOME:
        marked = {pair: {side: set(masks[percent][side][pair]) for side in SIDES} for pair in rows}
        for pair, row in rows.items():
            expected = kept([(row, marked[pair])])
            text = shown[pair][percent - 1]["pair"]
            assert all(abs(a - b) <= c for a, b, c in zip(numbers(text), expected, about, strict=True)), text
        expected = kept([(row, marked[pair]) for pair, row in rows.items()])
        text = shown[next(iter(rows))][percent - 1]["dataset"]
        assert all(abs(a - b) <= c for a, b, c in zip(numbers(text), expected, about, strict=True)), text


def test_ties_zeros_and_single_tokens(open_page, two_oracles, make_report, selected_masks):
    page = open_page(make_report(two_oracles[0]))
    assert_masks(page, two_oracles[0], selected_masks(two_oracles[0], ALL))


@pytest.fixture(params=["tiny_rewards", pytest.param("helpful_rewards", marks=pytest.mark.shared)])
def model_rewards(request):
    """Rewards of random models on the quickstart's pairs, and of a real one on the preferences of people."""
    return request.getfixturevalue(request.param)


def test_rewards_of_models(open_page, model_rewards, make_report, selected_masks, computed_masks):
    masks = computed_masks(model_rewards, ALL)
    assert {percent: masks[percent] for percent in SOME} == selected_masks(model_rewards, SOME)
    assert_masks(open_page(make_report(model_rewards)), model_rewards, masks)


def test_the_second_directory_is_selected_by_its_own_rewards(open_page, report_of_two, two_oracles, selected_masks):
    page = open_page(report_of_two)
    masks = selected_masks(two_oracles[1], SOME)
    page.select_option("#track", "1")
    shown = sweep(page, SOME)
    for place, percent in enumerate(SOME):
        for side in SIDES:
            assert {pair: shown[pair][place][side] for pair in shown} == masks[percent][side]


def test_arrow_keys_move_the_slider_by_one_percent_and_the_sides_are_apart(open_page, report_of_two, two_oracles):
    page = open_page(report_of_two)
    row = max(scan(two_oracles[0]).collect().iter_rows(named=True), key=lambda row: row["chosen_tokens"])
    page.select_option("#sort", "length")
    page.select_option("#order", "descending")
    page.locator("#pair-list [role=option]").nth(0).click()
    before = page.locator("#rejected-tokens .token.selected").count()
    tokens = page.locator("#chosen-tokens .token").count()
    assert tokens <= row["chosen_tokens"]
    page.focus("#share-chosen")
    for percent in (31, 32, 33):
        page.keyboard.press("ArrowRight")
        assert page.input_value("#share-chosen") == str(percent)
        assert page.inner_text("#chosen-percent") == f"{percent}%"
        assert page.locator("#chosen-tokens .token.selected").count() == max(1, tokens * percent // 100)
    page.keyboard.press("End")
    assert page.locator("#chosen-tokens .token.selected").count() == tokens
    page.keyboard.press("Home")
    assert page.locator("#chosen-tokens .token.selected").count() == max(1, tokens // 100)
    assert page.locator("#rejected-tokens .token.selected").count() == before
    assert page.input_value("#share-rejected") == "30"


def test_a_selection_shows_its_own_mask_until_a_slider_is_moved(open_page, two_oracles, make_report, tmp_path):
    select(two_oracles[0], tmp_path / "mass", "mass(60%)")
    select(two_oracles[0], tmp_path / "top", "top(45%)")
    page = open_page(make_report(tmp_path / "mass"))
    rows = scan(tmp_path / "mass").collect()
    stored = {
        row["pair_id"]: {side: [place for place, on in enumerate(row[f"{side}_mask"]) if on] for side in SIDES}
        for row in rows.iter_rows(named=True)
    }
    top = {row["pair_id"]: row for row in scan(tmp_path / "top").collect().iter_rows(named=True)}
    for option in page.locator("#pair-list [role=option]").all()[:12]:
        option.click()
        pair = page.inner_text("#pair-facts li:last-child").removeprefix("pair_id ")
        assert marked(page) == stored[pair]
        page.fill("#share-chosen", "45")
        page.fill("#share-rejected", "45")
        masks = {side: [place for place, on in enumerate(top[pair][f"{side}_mask"]) if on] for side in SIDES}
        assert marked(page) == masks
        page.check("#mask-stored")
        assert marked(page) == stored[pair]
    selected = rows.select("chosen_selected", "rejected_selected").sum().row(0)
    assert numbers(page.inner_text("#kept-dataset"))[0:4:2] == list(selected)


def test_the_sliders_begin_where_the_selection_was_made(open_page, two_oracles, make_report, tmp_path):
    select(two_oracles[0], tmp_path / "top", chosen="55%", rejected="20%")
    page = open_page(make_report(tmp_path / "top"))
    assert [page.input_value(f"#share-{side}") for side in SIDES] == ["55", "20"]
    for option in page.locator("#pair-list [role=option]").all()[:5]:
        option.click()
        page.check("#mask-stored")
        stored, kept = marked(page), page.inner_text("#kept-dataset")
        page.check("#mask-slider")
        assert marked(page) == stored
        assert page.inner_text("#kept-dataset") == kept


def marked(page) -> dict[str, list[int]]:
    positions = "tokens => tokens.map(token => Number(token.dataset.position))"
    return {side: page.eval_on_selector_all(f"#{side}-tokens .token.selected", positions) for side in SIDES}
