// The browser of pairs: a list, one pair token by token, and sliders that select again. Text is set as text alone.
import { kOf, maskOf, orderOf, ranksOf, stepOf, sumsOf } from "./selection.js";
import { appendSeen, byId, count, digitsOf, element, factOf, keptText, reveal, signed, tokenOf } from "./elements.js";
import { optionsOf } from "./options.js";
import { SIDES, listed, partOf, readPairs, rewardsOf, searched, sortKey, strongSize } from "./pairs.js";

const FIRST = { chosen: "highest", rejected: "lowest" };
const DOT = " \u00B7 ";
const data = JSON.parse(byId("data").textContent);
const pairs = readPairs(data.pairs);
const sizes = pairs.tracks.map((track) => strongSize(track));
const state = { track: 0, pair: null, drawn: null, found: [], stored: false, views: {}, described: null };
const optionFor = optionsOf(pairs);
let texts = null;

const percentOf = (side) => Number(byId(`share-${side}`).value);

/** Order, ranks and mask of one response under the present shares. */
function viewOf(side) {
  const rewards = rewardsOf(pairs, state.track, side, state.pair);
  const order = orderOf(rewards, side);
  const stored = state.stored ? partOf(pairs, side, state.pair, pairs.tracks[state.track][side].mask) : null;
  return { rewards, ranks: ranksOf(order), mask: stored ?? maskOf(order, kOf(rewards.length, percentOf(side))) };
}

function drawTokens(side) {
  const view = state.views[side];
  const { codes } = pairs.sides[side];
  const bare = element("span");
  bare.role = "option";
  bare.ariaSelected = "false";
  bare.tabIndex = -1;
  const parts = Array.from(partOf(pairs, side, state.pair, codes), (code, position) => {
    const token = bare.cloneNode();
    token.className = `token r${stepOf(view.rewards[position], sizes[state.track])}`;
    token.dataset.position = position;
    appendSeen(token, pairs.texts[code]);
    if (pairs.texts[code].trim() === "") token.setAttribute("aria-label", "space");
    return token;
  });
  if (parts.length > 0) parts[0].tabIndex = 0;
  byId(`${side}-tokens`).replaceChildren(...parts);
}

function markTokens(side) {
  const { mask } = state.views[side];
  for (const token of byId(`${side}-tokens`).children) {
    const on = mask[Number(token.dataset.position)] === 1;
    if (token.classList.toggle("selected", on) !== (token.ariaSelected === "true")) token.ariaSelected = String(on);
  }
}

function drawKept() {
  const kept = {};
  const all = {};
  for (const side of SIDES) {
    const { rewards, mask } = state.views[side];
    kept[side] = sumsOf(rewards, mask);
    all[side] = sumsOf(rewards, null);
    const tokens = `${count(kept[side].tokens)} of ${count(all[side].tokens)} tokens selected`;
    byId(`${side}-sums`).textContent = `reward ${signed(all[side].reward)}${DOT}${tokens}`;
  }
  byId("kept-pair").textContent = keptText(kept, all, 1, "margin");
}

function drawDataset() {
  const of = data.kept[state.track];
  const at = (side, percent) => Object.fromEntries(
    Object.entries(of[side]).map(([name, values]) => [name, values[percent - 1]]),
  );
  const bySide = (percent) => Object.fromEntries(SIDES.map((side) => [side, at(side, percent(side))]));
  const kept = state.stored ? of.stored : bySide(percentOf);
  const all = bySide(() => 100);
  byId("kept-dataset").textContent = keptText(kept, all, of.pairs, "mean margin");
}

/** Select again: only classes and numbers change, so that the reading position and the focus stay. */
function select() {
  for (const side of SIDES) {
    byId(`${side}-percent`).textContent = `${percentOf(side)}%`;
    byId(`share-${side}`).ariaValueText = `${percentOf(side)}%`;
    if (state.pair !== null) {
      state.views[side] = viewOf(side);
      markTokens(side);
    }
  }
  byId("mask-stored").checked = state.stored;
  byId("mask-slider").checked = !state.stored;
  byId("shares").classList.toggle("resting", state.stored);
  drawDataset();
  if (state.pair !== null) drawKept();
  if (state.described) describe(state.described.side, state.described.position);
}

function describe(side, position) {
  state.described = { side, position };
  const track = pairs.tracks[state.track][side];
  const at = pairs.sides[side].offsets[state.pair] + position;
  const code = pairs.sides[side].codes[at];
  const { ranks, mask, rewards } = state.views[side];
  const facts = [
    ["id", String(pairs.tokenIds[code])],
    ["position", count(position)],
    ["reward", signed(rewards[position], digitsOf(sizes[state.track]) + 2)],
  ];
  if (track.oracle) facts.push(["log p oracle", signed(track.oracle[at])], ["log p reference", signed(track.ref[at])]);
  facts.push(["rank", `${count(ranks[position])} of ${count(rewards.length)}, ${FIRST[side]} first`]);
  if (track.weights && mask[position] && state.stored) facts.push(["weight", track.weights[at].toFixed(4)]);
  facts.push(["", mask[position] ? "selected" : "not selected"]);
  const shown = element("span", "detail-token");
  appendSeen(shown, pairs.texts[code]);
  byId("token-detail").replaceChildren(element("span", `side-name ${side}`, side), shown, ...facts.map((fact) => factOf(fact)));
}

function drawPair() {
  const { pair } = state;
  const track = pairs.tracks[state.track];
  byId("pair-title").textContent = `Pair ${count(track.rows[pair])}`;
  const columns = pairs.columns.map((column) => `${column.label}: ${column.values[column.codes[pair]]}`);
  const facts = [`margin ${signed(track.margin[pair])}`, ...columns, `pair_id ${pairs.ids[pair]}`];
  byId("pair-facts").replaceChildren(...facts.map((fact) => element("li", "", fact)));
  byId("prompt").replaceChildren();
  appendSeen(byId("prompt"), pairs.prompts[pair]);
  for (const side of SIDES) {
    state.views[side] = viewOf(side);
    drawTokens(side);
  }
  const size = sizes[state.track];
  byId("scale-least").textContent = `${signed(-size, digitsOf(size))} or less`;
  byId("scale-most").textContent = `${signed(size, digitsOf(size))} or more`;
  state.described = null;
  state.drawn = `${state.track} ${pair}`;
  byId("token-detail").textContent = "Point at a token, or move to it with the arrow keys, to read its numbers.";
  select();
}

function choose(pair, scroll = true) {
  state.pair = pair;
  const list = byId("pair-list");
  for (const before of list.querySelectorAll("[aria-selected=true]")) before.ariaSelected = "false";
  const option = optionFor(state.track, pair);
  option.ariaSelected = "true";
  list.setAttribute("aria-activedescendant", option.id);
  if (scroll) reveal(option, list);
  if (state.drawn !== `${state.track} ${pair}`) drawPair();
  const place = state.found.indexOf(pair);
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place >= state.found.length - 1;
}

/** Move in the list; `places` may be beyond its ends. */
function move(places) {
  if (state.found.length === 0) return;
  const place = state.found.indexOf(state.pair) + places;
  choose(state.found[Math.min(state.found.length - 1, Math.max(0, place))]);
}

function drawList({ first = false } = {}) {
  const percents = Object.fromEntries(SIDES.map((side) => [side, state.stored ? null : percentOf(side)]));
  const sort = byId("sort").value;
  const filters = [...document.querySelectorAll("select.filter")].filter((one) => one.value !== "")
    .map((one) => [Number(one.dataset.number), Number(one.value)]);
  const keyOf = sortKey(pairs, state.track, sort, percents);
  const keys = new Map();
  const key = (pair) => {
    if (!keys.has(pair)) keys.set(pair, keyOf(pair));
    return keys.get(pair);
  };
  const descending = byId("order").value === "descending";
  texts ??= byId("search").value ? searched(pairs) : null;
  state.found = listed(pairs, texts, { text: byId("search").value, filters, key, descending });
  const extra = (pair) => (sort === "disagreement" ? `${DOT}${(100 * key(pair)).toFixed(0)}% differ` : "");
  byId("pair-list").replaceChildren(...state.found.map((pair) => optionFor(state.track, pair, extra(pair))));
  byId("found").textContent = `${count(state.found.length)} of ${count(pairs.ids.length)} pairs`;
  for (const name of ["pair", "pair-list"]) byId(name).hidden = state.found.length === 0;
  byId("nothing").hidden = state.found.length > 0;
  if (state.found.length > 0) choose(state.found.includes(state.pair) && !first ? state.pair : state.found[0]);
}

/** Search for nothing and filter by nothing. */
function showAll() {
  byId("search").value = "";
  for (const control of document.querySelectorAll("select.filter")) control.value = "";
  drawList();
  byId("search").focus();
}

/** Arrow keys, Home and End move the focus within a response: it is one stop of the Tab key. Where it is written from
 *  the right, the next token is on the left. */
function moveToken(event) {
  const at = tokenOf(event);
  const tokens = event.currentTarget.children;
  const right = getComputedStyle(event.currentTarget).direction === "rtl" ? -1 : 1;
  const places = { ArrowLeft: -right, ArrowRight: right, ArrowUp: -10, ArrowDown: 10, Home: -Infinity, End: Infinity };
  if (!at || places[event.key] === undefined) return;
  event.preventDefault();
  tokens[Math.min(tokens.length - 1, Math.max(0, at.position + places[event.key]))].focus();
}

function listenToList() {
  const list = byId("pair-list");
  const steps = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[data-pair]");
    if (option) choose(Number(option.dataset.number), false);
  });
  list.addEventListener("keydown", (event) => {
    if (steps[event.key] === undefined) return;
    event.preventDefault();
    move(steps[event.key]);
  });
  byId("previous").addEventListener("click", () => move(-1));
  byId("next").addEventListener("click", () => move(1));
  byId("search").addEventListener("input", () => drawList());
  byId("everything").addEventListener("click", showAll);
  for (const control of [byId("sort"), byId("order")]) {
    control.addEventListener("change", () => drawList({ first: true }));
  }
  for (const control of document.querySelectorAll("select.filter")) control.addEventListener("change", () => drawList());
}

/** Sort the list again where its order depends on what is selected. */
function sortAgain() {
  if (byId("sort").value === "disagreement") drawList();
}

/** The slider and the tokens of one side. */
function listenToSide(side) {
  byId(`share-${side}`).addEventListener("input", () => {
    state.stored = false;
    select();
  });
  byId(`share-${side}`).addEventListener("change", sortAgain);
  const tokens = byId(`${side}-tokens`);
  for (const kind of ["mouseover", "focusin", "click"]) {
    tokens.addEventListener(kind, (event) => {
      const at = tokenOf(event);
      if (at) describe(at.side, at.position);
    });
  }
  tokens.addEventListener("keydown", moveToken);
  tokens.addEventListener("focusin", (event) => {
    for (const token of tokens.querySelectorAll("[tabindex='0']")) token.tabIndex = -1;
    event.target.tabIndex = 0;
  });
}

function listen() {
  listenToList();
  for (const side of SIDES) listenToSide(side);
  for (const name of ["mask-stored", "mask-slider"]) {
    byId(name).addEventListener("change", () => {
      state.stored = byId("mask-stored").checked;
      select();
      sortAgain();
    });
  }
  byId("track")?.addEventListener("change", () => {
    state.track = Number(byId("track").value);
    showMaskChoice();
    drawList();
  });
}

function showMaskChoice() {
  const has = pairs.tracks[state.track].chosen.mask !== null;
  state.stored = has && data.kept[state.track].stored !== null;
  byId("masks").hidden = !has;
  for (const [side, percent] of Object.entries(data.kept[state.track].shares)) byId(`share-${side}`).value = percent;
}

function addFilters() {
  pairs.columns.forEach((column, number) => {
    const label = element("label", "field", "");
    const control = element("select", "filter");
    control.dataset.column = column.name;
    control.dataset.number = number;
    control.append(new Option("any", ""), ...column.values.map((value, code) => new Option(value, code)));
    label.append(element("span", "field-name", column.label), control);
    byId("filters").append(label);
  });
}

if (pairs.ids.length > 0) {
  addFilters();
  showMaskChoice();
  listen();
  drawList();
  // Before the first letter of a search.
  setTimeout(() => { texts ??= searched(pairs); }, 300);
}
