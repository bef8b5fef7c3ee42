"""A report used with the keyboard alone, in a real Chromium, and the names that a screen reader reads."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from sepo_data.stages.scan import scan
from tests.fixtures.reports import with_column

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOCUSED = """
() => {
  const one = document.activeElement;
  return one.id || one.dataset.column || one.closest('[id]')?.id || one.localName;
}
"""
OUTLINE = """
() => {
  const style = getComputedStyle(document.activeElement);
  return [style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0, style.boxShadow !== 'none'];
}
"""
IN_VIEW = """
() => {
  const frame = document.getElementById('pair-list').getBoundingClientRect();
  const box = document.querySelector('#pair-list [aria-selected=true]').getBoundingClientRect();
  const middle = (box.top + box.bottom) / 2;
  return frame.top < middle && middle < frame.bottom;
}
"""
STOPS = [
    "search", "sort", "order", "oracle_seen", "category", "pair-list", "next", "track",
    "share-chosen", "share-rejected", "prompt", "chosen-tokens", "rejected-tokens",
]  # fmt: skip
"""Stops of the Tab key, in order, among others; `previous` is disabled on the first pair."""


def tabbed(page, most=60) -> list[str]:
    """Press Tab until the focus has left the page or is back at its top: the stops on the way."""
    stops = []
    for _ in range(most):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUSED)
        if stop == "body":
            break
        assert any(page.evaluate(OUTLINE)), f"{stop} has the focus, and nothing shows it"
        stops.append(stop)
    return stops


def test_tab_reaches_every_control_in_reading_order_and_shows_where_it_is(open_page, report_of_two):
    page = open_page(report_of_two)
    stops = tabbed(page)
    assert [stop for stop in stops if stop in STOPS] == STOPS
    assert len(stops) < 60, "the tokens of a response are one stop"


def test_the_skip_link_comes_first_and_leads_to_the_pairs(open_page, report_of_two):
    page = open_page(report_of_two)
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    assert (skip.inner_text(), skip.get_attribute("href")) == ("Skip to the pairs", "#pairs")
    assert skip.is_visible()
    box = skip.bounding_box()
    assert min(box["x"], box["y"]) >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "search"


def test_arrows_go_through_the_list(open_page, report_of_two):
    page = open_page(report_of_two)
    page.focus("#pair-list")
    titles = [page.inner_text("#pair-title")]
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "End", "ArrowDown", "Home", "ArrowUp"):
        page.keyboard.press(key)
        titles.append(page.inner_text("#pair-title"))
        chosen = page.locator("#pair-list [aria-selected=true]")
        assert chosen.count() == 1
        assert page.get_attribute("#pair-list", "aria-activedescendant") == chosen.get_attribute("id")
        assert page.evaluate(IN_VIEW)
    assert titles == [f"Pair {row}" for row in (0, 1, 2, 1, 19, 19, 0, 0)]
    assert page.evaluate(FOCUSED) == "pair-list"


def test_arrows_go_through_the_tokens_and_the_line_of_details_follows(open_page, report_of_two, two_oracles):
    page = open_page(report_of_two)
    row = max(scan(two_oracles[0]).collect().iter_rows(named=True), key=lambda row: row["chosen_tokens"])
    page.focus("#pair-list")
    for _ in range(row["source_row"]):
        page.keyboard.press("ArrowDown")
    page.focus("#prompt")
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "chosen-tokens"
    order = sorted(range(row["chosen_tokens"]), key=lambda place: (-row["chosen_rewards"][place], place))
    expected = {0: None, 1: "ArrowRight", 2: "ArrowRight", row["chosen_tokens"] - 1: "End"}
    for position, key in expected.items():
        if key:
            page.keyboard.press(key)
        detail = page.inner_text("#token-detail").replace("\N{MINUS SIGN}", "-")
        reward = row["chosen_rewards"][position] + 0.0
        for fact in (
            f"id {row['chosen_ids'][position]}",
            f"position {position}",
            f"reward {reward:+.4f}",
            f"log p oracle {row['chosen_oracle_logps'][position]:+.3f}",
            f"log p reference {row['chosen_ref_logps'][position]:+.3f}",
            f"rank {order.index(position) + 1} of {row['chosen_tokens']}",
        ):
            assert re.search(rf"{re.escape(fact)}\b", " ".join(detail.split())), detail
        selected = page.locator(":focus").get_attribute("aria-selected") == "true"
        assert selected == ("not selected" not in detail)
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "rejected-tokens"
    assert "rejected" in page.inner_text("#token-detail")


def test_a_hidden_pair_is_found_again_without_a_mouse(open_page, report_of_two):
    """Type a search, go to the list, take the next pair, move its slider: what the hands of a reader do."""
    page = open_page(report_of_two)
    page.focus("#search")
    page.keyboard.type("topic1")
    found = page.locator("#pair-list [role=option]").count()
    assert found == 11  # topic1 and topic10 to topic19
    while page.evaluate(FOCUSED) != "pair-list":
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#pair-title") == "Pair 10"
    while page.evaluate(FOCUSED) != "share-rejected":
        page.keyboard.press("Tab")
    page.keyboard.press("End")
    tokens = page.locator("#rejected-tokens .token")
    assert page.locator("#rejected-tokens .token.selected").count() == tokens.count()
    page.focus("#search")
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    assert page.locator("#pair-list [role=option]").count() == 20
    assert page.inner_text("#pair-title") == "Pair 10", "the pair that is read stays"


NAMES = """
() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const text = (id) => document.getElementById(id)?.textContent.trim() ?? '';
  const name = (one) => one.getAttribute('aria-label')
    || (one.getAttribute('aria-labelledby') ?? '').split(' ').map(text).join(' ').trim()
    || [...(one.labels ?? [])].map((label) => label.textContent.trim()).join(' ') || one.textContent.trim();
  const start = (one) => one.outerHTML.slice(0, 200);
  const controls = 'a, button, input, select, summary, [role], [tabindex], section, nav, article, fieldset';
  const refer = ['aria-labelledby', 'aria-describedby', 'aria-controls', 'aria-activedescendant', 'for'];
  const ids = all('[id]').map((one) => one.id);
  return {
    nameless: all(controls).filter((one) => !name(one)).map(start),
    images: all('img, svg').filter((one) => one.getAttribute('role') !== 'img' || !name(one)).map(start),
    headings: all('h1, h2, h3, h4, h5, h6').map((one) => [Number(one.localName[1]), one.textContent.trim()]),
    twice: ids.filter((id, place) => ids.indexOf(id) !== place),
    lost: all('*').flatMap((one) => refer.flatMap((kind) => (one.getAttribute(kind) ?? '').split(' ')))
      .filter((id) => id && !document.getElementById(id)),
    tables: all('table').filter((one) => !one.querySelector('th')).map(start),
    language: document.documentElement.lang,
    title: document.title,
  };
}
"""


def test_everything_has_a_name(open_page, report_of_two):
    found = open_page(report_of_two).evaluate(NAMES)
    assert (found["nameless"], found["images"], found["twice"], found["lost"], found["tables"]) == ([],) * 5
    assert found["language"] == "en"
    assert "small" in found["title"]


def test_headings_are_in_order(open_page, report_of_two):
    headings = open_page(report_of_two).evaluate(NAMES)["headings"]
    levels = [level for level, _ in headings]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), headings
    assert all(text for _, text in headings)
    assert {"Directories", "Pairs", "Charts"} <= {text for level, text in headings if level == 2}


def test_a_screen_reader_hears_roles_names_and_states(open_page, report_of_two):
    page = open_page(report_of_two)
    heard = page.locator("main").aria_snapshot()
    for line in (
        '- searchbox "Search prompts and responses"',
        '- combobox "Sort by"',
        '- listbox "Pairs"',
        "- slider /K of chosen/",
        "- slider /K of rejected/",
        '- listbox "Tokens of the chosen response"',
        '- listbox "Tokens of the rejected response"',
        "- button /Next/",
    ):
        wanted = (
            re.escape(line) if "/" not in line else re.escape(line.partition("/")[0]) + '"[^"]*' + line.split("/")[1]
        )
        assert re.search(wanted, heard), f"{line} is not in {heard[:3000]}"
    assert re.search(r'- option "[^"]+" \[selected\]', heard)
    assert heard.count("- img") >= 2, "charts are images with names"
    assert not re.search(r"- img\s*$", heard, re.MULTILINE)


def test_a_move_of_a_slider_is_read_once(open_page, report_of_two):
    page = open_page(report_of_two)
    page.focus("#share-chosen")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#share-chosen", "aria-valuetext") == "31%"
    live = page.locator("#pair [aria-live=polite]").evaluate_all("all => all.map(one => one.id)")
    assert live == ["kept-pair", "token-detail"]
    assert page.locator("#pair output:not([aria-live=off])").count() == 0


@pytest.fixture(scope="module")
def from_the_right(tmp_path_factory, rewards_of, write_rewards, make_report):
    """A pair of Hebrew words, and one of spaces alone."""
    from tokenizers import Tokenizer, decoders, models

    words = ["\u05e9\u05dc\u05d5\u05dd", " \u05e2\u05d5\u05dc\u05dd", " "]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=" "))
    tokenizer.decoder = decoders.Fuse()
    table = rewards_of([([0.5, 0.25, 0.0], [0.5, 0.25]), ([0.5], [0.25])])
    table = with_column(table, "prompt_ids", [[0], [1]])
    table = with_column(table, "prompt_tokens", [1, 1])
    table = with_column(table, "chosen_ids", [[0, 1, 0], [2]])
    table = with_column(table, "rejected_ids", [[0, 1], [2]])
    folder = tmp_path_factory.mktemp("right") / "rewards"
    write_rewards(folder, [table], tokenizer=tokenizer.to_str())
    return make_report(folder)


def test_arrows_go_where_they_point_in_text_from_the_right(open_page, from_the_right):
    page = open_page(from_the_right)
    tokens = page.locator("#chosen-tokens .token")
    tokens.first.focus()
    places = [tokens.first.bounding_box()["x"]]
    for key, position in (("ArrowLeft", 1), ("ArrowLeft", 2), ("ArrowRight", 1), ("Home", 0), ("End", 2)):
        page.keyboard.press(key)
        assert page.locator(":focus").get_attribute("data-position") == str(position)
        places.append(page.locator(":focus").bounding_box()["x"])
    assert places[0] > places[1] > places[2]


def test_a_token_of_space_alone_has_a_name(open_page, from_the_right):
    page = open_page(from_the_right)
    page.locator("#pair-list [role=option]").nth(1).click()
    assert '- option "space" [selected]' in page.locator("#chosen-tokens").aria_snapshot()
