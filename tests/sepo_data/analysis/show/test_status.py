"""The foot of the screen: place, order, what is kept, notes and messages; each a line that is escaped."""

import pytest

from sepo_data.analysis.show.browser import Browser
from sepo_data.analysis.show.listing import list_pairs
from sepo_data.analysis.show.pairs import Shares, open_pairs
from sepo_data.analysis.show.status import HINT, SHORT_HINT, key_lines, status_lines
from sepo_data.selection.select import select


@pytest.fixture
def browser_of():
    def make(*folders, **settings):
        pairs, shares = open_pairs(folders), Shares()
        return Browser(list_pairs(pairs, shares, sort="margin", descending=None, **settings), shares)

    return make


def test_one_directory(folder, browser_of):
    browser = browser_of(folder)
    place, kept, hint = status_lines(browser, 100)
    assert place == "1 of 2  sort margin ascending"
    assert kept.startswith(
        "K 30% chosen, 30% rejected: 2 of 2 tokens, 100.0% of |reward|, margin of the selected +0.000"
    )
    assert (hint, status_lines(browser, 30)[-1]) == (HINT, SHORT_HINT)
    browser.message = "said once"
    assert status_lines(browser, 100)[-1] == "said once"


def test_two_directories_and_their_disagreement(folder, tmp_path, browser_of):
    select(folder, tmp_path / "selection", chosen="100%", rejected="50%")
    browser = browser_of(folder, tmp_path / "selection", text="q0")
    place, first, second, _ = status_lines(browser, 100)
    assert place == "1 of 1  sort margin ascending  find 'q0'  disagreement 0.667"  # 2 of 6
    assert first.startswith("rewards  K 30% chosen, 30% rejected: 2 of 7 tokens")
    assert second.startswith("selection  stored masks: 6 of 7 tokens")
    browser.press("c")
    assert status_lines(browser, 120)[2].startswith("selection  re-selected, K 25% chosen, 30% rejected: 2 of 7")


def test_a_narrow_screen_has_a_shorter_line(folder, tmp_path, browser_of):
    select(folder, tmp_path / "selection", chosen="100%", rejected="50%")
    browser = browser_of(tmp_path / "selection")
    browser.press("+")
    long, short = (status_lines(browser, width)[1] for width in (120, 80))
    assert long == (
        "re-selected, K 35% chosen, 35% rejected: 2 of 2 tokens, 100.0% of |reward|, margin of the selected +0.000"
    )
    assert short == "re-selected, K 35% / 35%: 2 of 2 tokens, 100.0% of |reward|, margin +0.000"


def test_an_order_of_another_selection_says_so(folder, tmp_path, browser_of):
    select(folder, tmp_path / "selection", chosen="100%", rejected="50%")
    browser = browser_of(folder, tmp_path / "selection")
    for _ in range(2):
        browser.press("s")
    assert "sort disagreement descending  disagreement" in status_lines(browser, 100)[0]
    browser.press("c")
    assert "sort disagreement descending of the K before  disagreement" in status_lines(browser, 100)[0]
    browser.press("S")
    assert "sort disagreement ascending  disagreement" in status_lines(browser, 100)[0]


def test_what_is_typed_is_escaped(folder, browser_of):
    browser = browser_of(folder)
    for key in ("/", "a", "\x1b", "\u202e", "ä"):
        browser.press(key)
    assert status_lines(browser, 100) == ["find: aä_  (enter, or escape)"]


def test_the_list_of_keys_fits_a_narrow_screen():
    assert max(map(len, key_lines())) < 60
