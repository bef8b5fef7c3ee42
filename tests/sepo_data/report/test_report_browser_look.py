"""A report at 400 and 1,600 pixels, dark and light, in a real Chromium: nothing runs out of it, all is legible."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCHEMES = ("light", "dark")
CONTRAST = """
() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  const parsed = new Map();
  const parse = (colour) => {
    if (!parsed.has(colour)) {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
      const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
      parsed.set(colour, [red, green, blue, alpha / 255]);
    }
    return parsed.get(colour);
  };
  const over = (top, bottom, alpha) => top.slice(0, 3).map((part, place) => alpha * part + (1 - alpha) * bottom[place]);
  const ground = (one) => {
    if (!one) return [255, 255, 255];
    const own = parse(getComputedStyle(one).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, ground(one.parentElement), own[3]);
  };
  const beneath = (one, svg) => {  // in a chart: the last filled mark that the middle of a text is on
    const box = one.getBoundingClientRect();
    const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
    const paper = ground(svg.parentElement);
    const marks = [...svg.querySelectorAll('rect, path')].filter((mark) => {
      const frame = mark.getBoundingClientRect();
      return !mark.closest('defs') && getComputedStyle(mark).fill !== 'none'
        && frame.left < x && x < frame.right && frame.top < y && y < frame.bottom;
    });
    if (!marks.length) return paper;
    const style = getComputedStyle(marks.at(-1));
    const fill = parse(style.fill);
    return over(fill, paper, fill[3] * Number(style.fillOpacity) * Number(style.opacity));
  };
  const light = (colour) => {
    const [red, green, blue] = colour.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ratio = (a, b) => {
    const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const chosen = document.getElementById('chosen-tokens');
  for (let step = 0; step < 21; step += 1) {
    for (const more of ['', ' selected']) {
      const token = document.createElement('span');
      token.className = `token r${step}${more}`;
      token.textContent = `step ${step}${more}`;
      chosen.append(token);
    }
  }
  for (const details of document.querySelectorAll('details')) details.open = true;
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    const hidden = !walker.currentNode.data.trim() || one.closest('script, style, :disabled, option, title')
      || !one.checkVisibility() || one.closest('.skip');
    if (hidden) continue;
    const style = getComputedStyle(one);
    const svg = one.closest('svg');
    const ink = parse(svg ? style.fill : style.color);
    let alpha = ink[3];
    for (let at = one; at; at = at.parentElement) alpha *= Number(getComputedStyle(at).opacity);
    if (svg && alpha === 0) continue;  // a label of an axis that would overlap another one
    const paper = svg ? beneath(one, svg) : ground(one);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const contrast = ratio(over(ink, paper, alpha), paper);
    const place = one.closest('figure, section')?.id;
    if (contrast < (large ? 3 : 4.5)) found.add(`${contrast.toFixed(2)} in ${place}: ${one.outerHTML.slice(0, 160)}`);
  }
  const tokens = [...chosen.querySelectorAll('.token')].slice(-42);
  return {
    found: [...found],
    grounds: tokens.map((token) => ground(token).map(Math.round).join()),
    selected: tokens.map((token) => [getComputedStyle(token).textDecorationLine, getComputedStyle(token).boxShadow]),
  };
}
"""


@pytest.fixture(scope="module", params=["rewards of two", "a selection"])
def report(request, report_of_two, two_oracles, make_report, tmp_path_factory):
    if request.param == "rewards of two":
        return report_of_two
    from sepo_data.selection.select import select

    selection = tmp_path_factory.mktemp("look") / "selection"
    select(two_oracles[0], selection, chosen="30%", rejected="20%")
    return make_report(selection)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_runs_out_of_the_page(open_page, report, width, scheme):
    page = open_page(report, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.select_option("#sort", "length")
    page.select_option("#order", "descending")
    page.locator("#pair-list [role=option]").first.click()
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    scroll, client = page.evaluate(widths)
    assert (scroll, client) == (width, width)
    outside = page.evaluate(
        """(width) => [...document.querySelectorAll('main *')].filter((one) => {
          const box = one.getBoundingClientRect();
          return box.right > width + 1 && box.width > 0 && !one.closest('.scroll, svg, pre, #pair-list');
        }).map((one) => one.outerHTML.slice(0, 100))""",
        width,
    )
    assert outside == []
    for control in ("#search", "#sort", "#share-chosen", "#share-rejected", "#chosen-tokens", "#next"):
        box = page.locator(control).bounding_box()
        assert box["width"] > 60, control
        assert box["height"] >= 20, control


@pytest.mark.parametrize("scheme", SCHEMES)
def test_all_text_is_legible_on_every_colour(open_page, report, scheme):
    page = open_page(report, color_scheme=scheme)
    found = page.evaluate(CONTRAST)
    assert found["found"] == []
    assert len(set(found["grounds"])) == 21, "each step has a colour of its own"
    assert found["grounds"][::2] == found["grounds"][1::2], "selection leaves the colour of the reward"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_selected_tokens_are_marked_by_more_than_colour(open_page, report_of_two, scheme):
    selected = open_page(report_of_two, color_scheme=scheme).evaluate(CONTRAST)["selected"]
    for plain, marked in zip(selected[::2], selected[1::2], strict=True):
        assert (plain[0], marked[0]) == ("none", "underline")
        frame = " 0px 0px 0px 1px inset"
        assert frame in marked[1]
        assert frame not in plain[1]


def test_the_ends_of_the_scale_differ_for_every_colour_vision(open_page, report_of_two):
    """Blue and orange: apart by the blue channel against red, which no common colour blindness mixes up."""
    for scheme in SCHEMES:
        grounds = open_page(report_of_two, color_scheme=scheme).evaluate(CONTRAST)["grounds"]
        least, most = ([int(part) for part in grounds[place].split(",")] for place in (0, 40))
        assert least[0] - least[2] > 60, "the lowest rewards are orange"
        assert most[2] - most[0] > 60, "the highest are blue"


def test_dark_and_light_follow_the_system(open_page, report_of_two):
    def lightness(scheme):
        page = open_page(report_of_two, color_scheme=scheme)
        text = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in text.strip("rgb()").split(","))

    assert lightness("dark") < 200
    assert lightness("light") > 600


def test_the_whole_page_can_be_printed(open_page, report_of_two):
    page = open_page(report_of_two)
    page.emulate_media(media="print")
    assert page.locator("#charts").is_visible()
    assert page.locator("#chosen-tokens").is_visible()


def test_print_is_on_white_and_shows_the_whole_pair(open_page, report_of_two):
    page = open_page(report_of_two, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert min(int(part) for part in ground.strip("rgb()").split(",")) > 240
    assert page.evaluate("getComputedStyle(document.getElementById('prompt')).maxHeight") == "none"
    assert page.locator("#chosen-percent").is_visible()
    assert page.locator("#share-chosen").is_hidden()


def test_forced_colours_leave_the_colours_of_rewards(open_page, report_of_two):
    grounds = "[...document.querySelectorAll('.ramp span')].map((one) => getComputedStyle(one).backgroundColor)"
    plain, forced = (open_page(report_of_two, forced_colors=forced).evaluate(grounds) for forced in ("none", "active"))
    assert plain == forced
    assert len(set(forced)) == 21
