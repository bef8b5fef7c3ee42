"""Keys and the state that they lead to; the masks of a changed K against `select`."""

import polars as pl
import pytest

from sepo_data.analysis.show.browser import GOES, KEYS, SCROLLS, SELECTS, Browser, next_share
from sepo_data.analysis.show.kept import kept_of
from sepo_data.analysis.show.listing import list_pairs
from sepo_data.analysis.show.pairs import Shares, open_pairs
from sepo_data.selection.select import select
from sepo_data.share import format_share
from sepo_data.stages.scan import scan

REWARDS = [
    ([0.5, -0.25, 2.0, 1.0, -1.0] * 4, [1.0, -3.0, 0.0]),
    ([0.25], [-0.5, 0.0, -0.5] * 5),
    ([1.0] * 33, [4.0, -4.0]),
    ([0.125, 0.25] * 7, [0.5] * 21),
]


@pytest.fixture(scope="module")
def rewards(tmp_path_factory, rewards_of, write_rewards, texts):
    folder = tmp_path_factory.mktemp("browser") / "rewards"
    write_rewards(folder, [rewards_of(REWARDS[:3]), rewards_of(REWARDS[3:], first=3)], tokenizer=texts)
    return folder


def browser_of(*folders, shares=None, text="", where=None, sort="row"):
    pairs = open_pairs(folders)
    shares = shares or pairs.stored_shares() or Shares()
    return Browser(list_pairs(pairs, shares, where=where, text=text, sort=sort, descending=None), shares)


def press(browser, *keys):
    return [browser.press(key) for key in keys]


def rows(browser):
    return [browser.listing.pairs.rows[0][entry] for entry in browser.listing.order]


def marked(tokens):
    return [token.selected for token in tokens]


def test_next_previous_first_last(rewards):
    browser = browser_of(rewards)
    for key, place in [("n", 1), ("right", 2), (" ", 3), ("n", 3), ("p", 2), ("left", 1), ("b", 0), ("p", 0)]:
        press(browser, key)
        assert (browser.place, browser.shown[0].row) == (place, place)
    assert browser.message == "this is the first pair"
    for key, place in [("end", 3), ("home", 0), ("G", 3), ("g", 0)]:
        press(browser, key)
        assert browser.place == place
    assert browser.message == ""


def test_every_key_of_the_list_does_something():
    assert set(GOES) | set(SCROLLS) | set(SELECTS) >= {"n", "p", "g", "G", "j", "k", "c", "C", "r", "R", "-", "+"}
    listed = {key.strip(",") for keys in KEYS.values() for key in keys.split()}
    single = {key for key in (*GOES, *SCROLLS, *SELECTS, "/", "s", "S", "?", "h", "q") if len(key) == 1 and key != " "}
    assert single <= listed


def test_shares_go_by_five_percent_and_down_to_one():
    assert [next_share(share, more=True) for share in (100, 500, 3000, 3300, 9900, 10000)] == [
        500, 1000, 3500, 3500, 10000, 10000,
    ]  # fmt: skip
    assert [next_share(share, more=False) for share in (100, 500, 550, 3000, 3300, 10000)] == [
        100, 100, 500, 2500, 3000, 9500,
    ]  # fmt: skip


@pytest.mark.parametrize("stage", ["rewards", "selection"])
def test_masks_of_a_changed_k_are_those_of_select(rewards, tmp_path, stage):
    """Down to 1% and up to 100%, on both sides, ties included."""
    folder = rewards
    if stage == "selection":
        select(rewards, folder := tmp_path / "selection", chosen="40%", rejected="60%")
    browser = browser_of(folder, shares=Shares(3000, 3000) if stage == "rewards" else None)
    assert (browser.shares.chosen, browser.shares.rejected) == ((3000, 3000) if stage == "rewards" else (4000, 6000))
    for number, keys in enumerate(["", "c", "R", "-", *"ccccccccrrrrrrrr", *"CCCCC", "++++++++++", "+++++++++++++"]):
        press(browser, *keys)
        shares = {side: format_share(getattr(browser.shares, side)) for side in ("chosen", "rejected")}
        select(rewards, tmp_path / f"s{number}", **shares)
        expected = scan(tmp_path / f"s{number}").collect()
        for place in range(len(REWARDS)):
            browser.place = place
            [shown] = browser.shown
            for side in ("chosen", "rejected"):
                assert marked(getattr(shown, side)) == expected[f"{side}_mask"][place].to_list()
    assert shares == {"chosen": "100%", "rejected": "100%"}


def test_a_stored_mask_of_another_rule_stays_until_a_share_is_changed(rewards, tmp_path):
    select(rewards, tmp_path / "random", "random(50%, seed=1)")
    browser = browser_of(tmp_path / "random")
    stored = scan(tmp_path / "random").collect()
    assert marked(browser.shown[0].chosen) == stored["chosen_mask"][0].to_list()
    press(browser, "n", "s", "/", *"word", "escape", "g")
    assert browser.shares == Shares(3000, 3000, stored=True)
    press(browser, "C")
    assert browser.shares == Shares(3500, 3000, stored=False)
    assert (browser.shown[0].row, sum(marked(browser.shown[0].chosen))) == (3, 4)  # 35% of 14


def test_numbers_of_a_selection_are_those_of_a_plain_loop(rewards):
    for shown in (browser_of(rewards, shares=Shares(k, 1000)).shown[0] for k in (100, 3000, 10000)):
        kept = kept_of(shown)
        selected = [token for token in (*shown.chosen, *shown.rejected) if token.selected]
        assert (kept.selected, kept.tokens) == (len(selected), len(shown.chosen) + len(shown.rejected))
        total = sum(abs(token.reward) for token in (*shown.chosen, *shown.rejected))
        assert kept.absolute == pytest.approx(sum(abs(token.reward) for token in selected) / total)
        margin = sum(token.reward for token in selected if token in shown.chosen)
        assert kept.margin == margin - sum(token.reward for token in selected if token in shown.rejected)
    assert kept.margin != shown.margin


def test_sorts_come_one_after_the_other_and_turn_around(rewards):
    browser = browser_of(rewards)
    margins = scan(rewards).select(pl.col("margin")).collect()["margin"].to_list()
    press(browser, "n", "s")
    assert (browser.listing.sort, browser.listing.descending, browser.place) == ("margin", False, 0)
    assert [margins[row] for row in rows(browser)] == sorted(margins)
    press(browser, "S")
    assert [margins[row] for row in rows(browser)] == sorted(margins, reverse=True)
    seen = [browser.listing.sort]
    for _ in range(3):
        press(browser, "s")
        seen.append(browser.listing.sort)
    assert seen == ["margin", "reward", "length", "row"]


def test_two_directories_can_be_sorted_by_disagreement(rewards, tmp_path):
    select(rewards, tmp_path / "other", chosen="90%", rejected="90%")
    browser, said = browser_of(rewards, tmp_path / "other"), []
    browser.busy = said.append
    press(browser, "s", "s", "s")
    assert (browser.listing.sort, said) == ("disagreement", ["sorting by disagreement ..."])
    assert len(browser.shown) == 2


def test_find_keeps_the_pairs_with_a_text(rewards):
    browser = browser_of(rewards)
    press(browser, "/", *"Qx", "backspace", "2", "enter")
    assert (browser.mode, rows(browser), browser.listing.text) == ("pairs", [2], "Q2")
    press(browser, "/", "enter")
    assert (rows(browser), browser.place) == ([0, 1, 2, 3], 2)  # the pair that was shown
    press(browser, "/", *"nowhere", "enter")
    assert browser.message == "no pair has the text 'nowhere'"
    assert (rows(browser), browser.place) == ([0, 1, 2, 3], 2)
    press(browser, "/", "a", "clear", "left", "\x00", *"q1", "enter")
    assert rows(browser) == [1]


def test_what_is_typed_is_bounded(rewards):
    browser = browser_of(rewards)
    press(browser, "/", *"x" * 500)
    assert len(browser.typed) == 200


def test_q_ends_and_other_keys_do_not(rewards):
    browser = browser_of(rewards)
    assert press(browser, "?", "q") == [True, True]  # any key leaves the list of keys
    assert press(browser, "/", "q", "escape", "x", "up", "q") == [True] * 5 + [False]
    assert press(browser, "end of file") == [False]
    press(browser, "/")
    assert press(browser, "end of file") == [False]
