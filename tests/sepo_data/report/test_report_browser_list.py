"""Search, order, filters and directories of a report in a real Chromium, against the tables on disk."""

from __future__ import annotations

import pytest

from sepo_data.stages.scan import scan
from tests.fixtures.reports import TOPICS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIDES = ("chosen", "rejected")


@pytest.fixture(scope="module")
def rows(two_oracles):
    """The rows of both directories in the order of the first one."""
    small, large = (scan(folder).collect().sort("source_row").to_dicts() for folder in two_oracles)
    return small, large


def listed(page) -> list[int]:
    """The rows of the list, in its order."""
    texts = page.locator("#pair-list .option-row").all_text_contents()
    return [int(text.replace("row", "").replace(",", "")) for text in texts]


def by(rows, key, *, descending=False) -> list[int]:
    """Places of the rows sorted by `key`; equal ones stay in order."""
    return sorted(range(len(rows)), key=lambda place: -key(rows[place]) if descending else key(rows[place]))


def top(values, percent, sign) -> set[int]:
    order = sorted(range(len(values)), key=lambda place: (-sign * values[place], place))
    return set(order[: max(1, len(values) * percent // 100)])


def differ(small, large, percent=30) -> float:
    """1 - Jaccard of the tokens that two rewards of one pair select, of both responses together."""
    both = either = 0
    for side, sign in (("chosen", 1), ("rejected", -1)):
        a, b = (top(row[f"{side}_rewards"], percent, sign) for row in (small, large))
        both += len(a & b)
        either += len(a | b)
    return 1 - both / either


@pytest.mark.parametrize("descending", [False, True])
def test_every_order_is_that_of_the_table(open_page, report_of_two, rows, descending):
    page = open_page(report_of_two)
    page.select_option("#order", "descending" if descending else "ascending")
    keys = {
        "row": lambda row: row["source_row"],
        "margin": lambda row: row["margin"],
        "length": lambda row: row["chosen_tokens"] + row["rejected_tokens"],
    }
    for name, key in keys.items():
        page.select_option("#sort", name)
        assert listed(page) == by(rows[0], key, descending=descending), name
    for name, side in (("reward", "chosen"), ("rejected", "rejected")):
        page.select_option("#sort", name)
        sums = [sum(row[f"{side}_rewards"]) for row in rows[0]]
        order = [sums[row] for row in listed(page)]
        assert order == sorted(order, reverse=descending), name


def test_disagreement_of_two_oracles_orders_the_list_and_follows_the_sliders(open_page, report_of_two, rows):
    page = open_page(report_of_two)
    page.select_option("#order", "descending")
    page.select_option("#sort", "disagreement")
    assert listed(page) == by(list(zip(*rows, strict=True)), lambda pair: differ(*pair), descending=True)
    worst = listed(page)[0]
    assert f"{100 * differ(rows[0][worst], rows[1][worst]):.0f}%" in page.locator("#pair-list li").first.inner_text()
    for side in SIDES:
        page.locator(f"#share-{side}").fill("60")
    assert listed(page) == by(list(zip(*rows, strict=True)), lambda pair: differ(*pair, 60), descending=True)


def test_filters_by_side_column_and_by_what_the_oracle_has_seen(open_page, report_of_two, rows):
    page = open_page(report_of_two)
    category, seen = (page.locator(f'select.filter[data-column="{name}"]') for name in ("category", "oracle_seen"))
    assert category.locator("option").all_text_contents() == ["any", "cocoa", "coffee", "tea"]
    for value in ("tea", "coffee", "cocoa"):
        category.select_option(label=value)
        expected = [row["source_row"] for row in rows[0] if row["category"] == value]
        assert listed(page) == expected
        assert page.inner_text("#found") == f"{len(expected)} of {TOPICS} pairs"
    category.select_option(label="tea")
    options = seen.locator("option").all_text_contents()
    assert len(options) == 3
    halves = []
    for label in options[1:]:
        seen.select_option(label=label)
        halves.append(listed(page))
    tea = [row for row in rows[0] if row["category"] == "tea"]
    expected = [[row["source_row"] for row in tea if row["oracle_seen"] is flag] for flag in (True, False)]
    assert sorted(halves) == sorted(expected)
    category.select_option(index=0)
    seen.select_option(index=0)
    assert len(listed(page)) == TOPICS


def test_search_finds_prompts_and_responses_in_any_case(open_page, report_of_two, rows):
    page = open_page(report_of_two)
    for text, expected in {
        "topic7": [7],
        "TOPIC7": [7],
        "topic1": [1, *range(10, 20)],
        "w1 w2 topic3": [3],
        "nothing like that": [],
        ".*": [],
        "\\": [],
        "": list(range(TOPICS)),
    }.items():
        page.fill("#search", text)
        assert listed(page) == expected, text
        assert page.inner_text("#found") == f"{len(expected)} of {TOPICS} pairs"
        assert page.locator("#pair").is_visible() == bool(expected)
    page.fill("#search", "W102")  # the 93rd token of a response
    long = [row["source_row"] for row in rows[0] if max(row["chosen_tokens"], row["rejected_tokens"]) > 92]
    assert listed(page) == long != []


def test_previous_and_next_walk_the_list_as_it_is(open_page, report_of_two, rows):
    page = open_page(report_of_two)
    page.select_option("#sort", "margin")
    order = by(rows[0], lambda row: row["margin"])
    page.locator("#pair-list [role=option]").first.click()
    assert page.is_disabled("#previous")
    walked = [page.inner_text("#pair-title")]
    while page.is_enabled("#next"):
        page.click("#next")
        walked.append(page.inner_text("#pair-title"))
    assert walked == [f"Pair {row}" for row in order]
    page.click("#previous")
    assert page.inner_text("#pair-title") == walked[-2]


def test_the_other_directory_has_its_own_numbers_of_the_same_pair(open_page, report_of_two, rows):
    page = open_page(report_of_two)
    assert page.locator("#track option").all_text_contents() == ["small", "large"]
    page.fill("#search", "topic4")
    for number in (0, 1, 0):
        page.select_option("#track", str(number))
        row = rows[number][4]
        margin = f"{row['margin']:+.3f}".replace("-", "\N{MINUS SIGN}")
        assert f"margin {margin}" in page.inner_text("#pair-facts")
        assert page.inner_text("#pair-facts li:last-child") == f"pair_id {row['pair_id']}"
        page.locator("#chosen-tokens .token").last.hover()
        reward = f"{row['chosen_rewards'][-1] + 0.0:+.4f}".replace("-", "\N{MINUS SIGN}")
        assert reward in page.inner_text("#token-detail")
        tokens = page.locator("#rejected-tokens .token")
        assert tokens.count() == row["rejected_tokens"]


def test_one_directory_has_no_track_and_no_disagreement(open_page, two_oracles, make_report):
    page = open_page(make_report(two_oracles[1]))
    assert page.locator("#track").count() == 0
    assert "disagreement" not in page.locator("#sort option").evaluate_all("all => all.map(one => one.value)")
    assert page.locator("#pair-list [role=option]").count() == TOPICS


def test_a_sample_says_that_it_is_one(open_page, two_oracles, make_report):
    page = open_page(make_report(*two_oracles, pairs=5))
    assert page.locator("#pair-list [role=option]").count() == 5
    note = page.inner_text("#pairs .note")
    assert "5" in note.split()
    assert "20" in note.split()
    kept = page.inner_text("#kept-dataset")
    total = sum(scan(two_oracles[0]).collect()["chosen_tokens"])
    assert f"of {total:,} chosen" in kept, "what the dataset keeps is of all pairs"


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_opens_at_its_top_and_the_list_never_scrolls_it(open_page, report_of_two, width):
    page = open_page(report_of_two, viewport={"width": width, "height": 700}, reduced_motion="reduce")
    page.wait_for_function("document.readyState === 'complete'")
    assert page.evaluate("[window.scrollX, window.scrollY]") == [0, 0]
    page.focus("#pair-list")
    before = page.evaluate("window.scrollY")
    for key in ("End", "ArrowUp", "PageUp", "Home", "PageDown"):
        page.keyboard.press(key)
        assert page.evaluate("window.scrollY") == before, key
    page.evaluate("window.scrollTo(0, 0)")
    page.select_option("#sort", "margin")
    page.locator("#next").evaluate("one => { for (let time = 0; time < 15; time += 1) one.click(); }")
    assert page.evaluate("window.scrollY") <= before


def test_nothing_found_says_so_and_leads_back(open_page, report_of_two):
    page = open_page(report_of_two)
    assert page.locator("#nothing").is_hidden()
    page.select_option("select.filter >> nth=0", index=1)
    page.fill("#search", "nothing like that")
    assert page.inner_text("#nothing p") == "No pair matches."
    assert page.locator("#pair-list").is_hidden()
    page.click("#everything")
    assert len(listed(page)) == TOPICS
    assert page.locator("#pair").is_visible()
    assert page.evaluate("document.activeElement.id") == "search"
    assert page.input_value("#search") == page.input_value("select.filter >> nth=0") == ""
