"""A report of hostile data in a real Chromium: texts are shown, nothing of them is markup, runs, or leaves the page."""

from __future__ import annotations

import json
import re

import pytest

from sepo_data.schemas.manifest import Manifest
from tests.fixtures.browser import Heard
from tests.fixtures.reports import with_column

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TEXTS = [
    "<script>owned=1;alert(1)</script>",
    "</script><script>owned=1;alert(2)</script>",
    "<!-- <script>",
    "--> ]]> </textarea></title></style></template>",
    "<img src=x onerror='owned=1;alert(3)'>",
    '"><svg onload="owned=1;alert(4)">',
    "' onmouseover='alert(5)' autofocus onfocus='owned=1",
    "<iframe src=http://evil.example></iframe>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<base href=http://evil.example/><link rel=stylesheet href=http://evil.example/a.css>",
    "<a href=javascript:alert(6)>here</a>",
    "<style>*{display:none;background:url(http://evil.example)}</style>",
    "&lt;b&gt;&amp;&#0;&quot;",
    "$data $script ${alert(7)} {{7*7}} `${owned=1}` \\u003cb",
    "<plaintext>",
    "__proto__",
    "constructor",
]
LETTERS = {
    "\u202eevil\u202c": "\\u202eevil\\u202c",
    "nul\0l": "nul\\x00l",
    "a\u200bb\u2066c": "a\\u200bb\\u2066c",
    "\x1b[31mred": "\\x1b[31mred",
    "\u2028line": "\\u2028line",
    "\x01mark\x02": "\\x01mark\\x02",
}
"""Texts with letters that no eye sees, and how they are shown."""

WHOLE = ["\u05e9\u05dc\u05d5\u05dd", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "caf\u00e9", "\u65e5\u672c\u8a9e"]
"""Right-to-left letters, an emoji of three that joiners hold together, an accent, and ideographs: shown as they are."""

EVERYTHING = TEXTS + list(LETTERS) + WHOLE


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory, rewards_of, write_rewards, make_report):
    """Every text in prompts, responses, tokens, side columns, pair_ids, the manifest, and the name of a directory."""
    from tokenizers import Tokenizer, decoders, models

    vocabulary = {text: number for number, text in enumerate([*EVERYTHING, "<unk>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    rows = len(EVERYTHING)
    table = rewards_of([([1.0, -1.0], [0.5, 0.0]) for _ in range(rows)])
    numbers = list(range(rows))
    table = with_column(table, "prompt_ids", [[number] for number in numbers])
    table = with_column(table, "prompt_tokens", [1] * rows)
    table = with_column(table, "chosen_ids", [[number, (number + 1) % rows] for number in numbers])
    table = with_column(table, "rejected_ids", [[number, number] for number in numbers])
    table = with_column(table, "pair_id", [f"{number}{text}" for number, text in enumerate(EVERYTHING)])
    for text in TEXTS[:4]:
        table = with_column(table, f"side{text}", [EVERYTHING[number % 8] for number in numbers])
    name = "".join(text for text in TEXTS[:8] if "/" not in text) + "\u202e\x1b\n"
    folders = [tmp_path_factory.mktemp("hostile") / name, tmp_path_factory.mktemp("hostile") / f"{name}2"]
    for folder in folders:
        write_rewards(folder, [table], tokenizer=tokenizer.to_str())
        plant(folder)
    return make_report(*folders)


def plant(folder):
    """Hostile names in the manifest, whose fingerprint follows."""
    every = "".join(EVERYTHING)
    fields = json.loads((folder / "sepo.json").read_text(encoding="utf-8"))
    model = {"name": every, "revision": every, "weights": every, "parameters": 1}
    fields["input"] |= {"name": every, "split": every, "shape": every}
    fields["models"] = {"oracle": model, "ref": model}
    fields["tokenizer"] = {"name": every, "tokenizer": every, "chat_template": every, "vocabulary": 1}
    fields["options"] = {"beta": every, every: every}
    fields["shards"][0]["skipped"] = fields["shards"][0]["notes"] = {every: 1}
    del fields["fingerprint"]
    manifest = Manifest.model_validate(fields)
    (folder / "sepo.json").write_text(manifest.to_json(), encoding="utf-8")
    state = folder / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"_fingerprint": manifest.fingerprint}))


ELEMENTS = """
() => {
  const all = [...document.querySelectorAll('*')];
  const attributes = (one) => [...one.attributes].map((attribute) => attribute.name);
  const links = all.flatMap((one) => ['href', 'src', 'action', 'xlink:href'].map((name) => one.getAttribute(name)));
  return {
    tags: [...new Set(all.map((one) => one.localName))],
    handlers: all.flatMap(attributes).filter((name) => name.startsWith('on')),
    scripts: document.scripts.length,
    links: [...new Set(links.filter((link) => link && !link.startsWith('#') && !link.startsWith('data:image/')))],
    owned: window.owned === undefined,
  };
}
"""


def test_nothing_of_the_data_is_markup_or_runs(open_page, hostile_report, report_of_two):
    benign = open_page(report_of_two).evaluate(ELEMENTS)
    page = open_page(hostile_report)
    options = page.locator("#pair-list [role=option]")
    assert options.count() == len(EVERYTHING)
    for number in range(len(EVERYTHING)):
        options.nth(number).click()
        page.locator("#chosen-tokens .token").first.hover()
        page.locator("#rejected-tokens .token").last.focus()
    for control in ("#sort", "#order", "#track", *(f"select.filter >> nth={number}" for number in range(4))):
        for value in page.locator(f"{control} >> option").evaluate_all("all => all.map(one => one.value)"):
            page.locator(control).select_option(value=value)
            page.locator("#share-chosen").fill("50")
        page.locator(control).select_option(index=0)
    found = page.evaluate(ELEMENTS)
    assert set(found["tags"]) <= set(benign["tags"])
    assert (found["handlers"], found["links"], found["owned"]) == ([], [], True)
    assert found["scripts"] == benign["scripts"] == 2


def test_every_text_is_shown_as_it_is_and_unseen_letters_are_spelled_out(open_page, hostile_report):
    page = open_page(hostile_report)
    seen = {text: LETTERS.get(text, text) for text in EVERYTHING}
    rows = page.locator("#pair-list [role=option]")
    for number, text in enumerate(EVERYTHING):
        rows.nth(number).click()
        assert page.text_content("#prompt") == seen[text]
        following = EVERYTHING[(number + 1) % len(EVERYTHING)]
        tokens = [token.text_content() for token in page.locator("#chosen-tokens .token").all()]
        assert tokens == [seen[text], seen[following]]
    text = page.evaluate("document.documentElement.outerHTML")
    assert not re.search(r"[\x00\x1b\u202a-\u202e\u2066-\u2069\u2028\u200b]", text)
    assert page.evaluate("document.body.innerText").count("owned=1") > 3
    assert not re.search(r"[\x00-\x08\x0e-\x1f\u202a-\u202e\u2066-\u2069]", hostile_report.read_text(encoding="utf-8"))


def test_search_takes_any_text_as_a_text(open_page, hostile_report):
    page = open_page(hostile_report)
    shown = {}
    for text in (*TEXTS, *WHOLE):
        page.fill("#search", text)
        shown[text] = page.locator("#pair-list [role=option]").count()
    # In the prompt and responses of its own pair, and in the chosen response of the pair before.
    assert shown == dict.fromkeys((*TEXTS, *WHOLE), 2)


ATTACKS = """
() => new Promise((resolve) => {
  const blocked = [];
  document.addEventListener('securitypolicyviolation', (event) => blocked.push(event.effectiveDirective));
  const attempt = (attack) => { try { attack(); } catch (error) { blocked.push(error.name); } };
  const make = (name, values) => Object.assign(document.createElement(name), values);
  const add = (name, values) => attempt(() => document.body.append(make(name, values)));
  add('script', {textContent: 'window.owned = 1'});
  add('script', {src: 'http://127.0.0.1:9/a.js'});
  add('img', {src: 'http://127.0.0.1:9/a.png'});
  add('iframe', {src: 'http://127.0.0.1:9/'});
  add('link', {rel: 'stylesheet', href: 'http://127.0.0.1:9/a.css'});
  add('style', {textContent: 'body { display: none }'});
  attempt(() => {
    const holder = document.createElement('div');
    holder.innerHTML = '<button onclick="window.owned = 1">x</button>';
    document.body.append(holder);
    holder.firstChild.click();
  });
  attempt(() => trustedTypes.createPolicy('default', {createHTML: (text) => text}));
  setTimeout(() => {
    try { eval('window.owned = 1'); } catch { blocked.push('eval'); }
    fetch('http://127.0.0.1:9/').catch(() => {});
    new Image().src = 'http://127.0.0.1:9/b.png';
    setTimeout(() => resolve({blocked: [...new Set(blocked)].sort(), owned: window.owned ?? null,
      display: getComputedStyle(document.body).display}), 200);
  });
})
"""


def test_the_policy_stops_what_would_get_into_the_page(chromium, report_of_two):
    page = chromium.new_page()
    page.goto(report_of_two.as_uri())
    found = page.evaluate(ATTACKS)
    page.close()
    assert (found["owned"], found["display"]) == (None, "block")
    assert {
        "connect-src",
        "eval",
        "frame-src",
        "img-src",
        "require-trusted-types-for",
        "style-src-elem",
        "trusted-types",
        "TypeError",
    } <= set(found["blocked"])


def test_a_script_in_the_file_itself_does_not_run(chromium, report_of_two, tmp_path):
    text = report_of_two.read_text(encoding="utf-8")
    changed = tmp_path / "changed.html"
    attack = "<script>window.owned = 1</script><img src=http://127.0.0.1:9/a.png onerror='window.owned = 1'>"
    attack += "<script src=http://127.0.0.1:9/a.js></script>"
    changed.write_text(text.replace("</main>", f"{attack}</main>"), encoding="utf-8")
    page, heard = chromium.new_page(), Heard()
    heard.listen(page, changed.as_uri())
    page.goto(changed.as_uri())
    assert page.evaluate("window.owned") is None
    assert page.locator("#pair-list [role=option]").count() > 0, "the page's own script does run"
    page.close()
    assert len(heard.messages) >= 2
    assert all("Content Security Policy" in message for message in heard.messages)


def test_the_policy_allows_no_origin(report_of_two):
    [policy] = re.findall(
        r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', report_of_two.read_text(encoding="utf-8")
    )
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"unsafe|https?:|\*|\bself\b|blob:", policy)


def test_the_page_works_whatever_charset_a_server_names(chromium, report_of_two):
    """The hashes of the policy are of UTF-8: read as anything else, the script would not run."""
    page, heard = chromium.new_page(), Heard()
    address = "http://report.example/r.html"
    heard.listen(page, address)
    latin = {"content-type": "text/html; charset=iso-8859-1"}
    page.route("**/*", lambda route: route.fulfill(body=report_of_two.read_bytes(), headers=latin))
    page.goto(address)
    assert page.evaluate("document.characterSet") == "UTF-8"
    assert page.locator("#pair-list [role=option]").count() > 0
    assert page.inner_text("#next") == "Next \u2192"
    page.close()
    assert heard.all == []
