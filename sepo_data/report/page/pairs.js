// The pairs of the page as objects, and the list of them: found by text, filtered and sorted.
import { bitsOf, kOf, logpsOf, maskOf, numbersOf, offsetsOf, orderOf, overlapOf, sizeOf, sumsOf } from "./selection.js";

export const SIDES = ["chosen", "rejected"];
export const MARK = "\u0001";
const END = "\u0002";

/** The numbers of one kind, of `{kind: text}`. */
function codesOf(packed) {
  const [[kind, text]] = Object.entries(packed);
  return numbersOf(kind, text);
}

function sideOf(packed, tokens) {
  return {
    rewards: numbersOf("float32", packed.rewards),
    orders: [],
    oracle: packed.oracle_logps ? logpsOf(packed.oracle_logps) : null,
    ref: packed.ref_logps ? logpsOf(packed.ref_logps) : null,
    mask: packed.mask === undefined ? null : bitsOf(packed.mask, tokens),
    weights: packed.weights === undefined ? null : numbersOf("float32", packed.weights),
  };
}

/** Decode what Python wrote. Values of a token are flat arrays; `offsets[pair]` is where its response starts. */
export function readPairs(packed) {
  const sides = Object.fromEntries(SIDES.map((side) => {
    const { lengths, codes } = packed.sides[side];
    return [side, { offsets: offsetsOf(numbersOf("int32", lengths)), codes: codesOf(codes) }];
  }));
  const tracks = packed.tracks.map((track) => ({
    holder: track.holder,
    rows: numbersOf("int32", track.rows),
    margin: numbersOf("float32", track.margin),
    ...Object.fromEntries(SIDES.map((side) => [side, sideOf(track[side], sides[side].codes.length)])),
  }));
  return {
    ids: packed.ids,
    prompts: packed.prompts,
    previews: packed.previews,
    tokenIds: numbersOf("int32", packed.tokens.ids),
    texts: packed.tokens.texts,
    columns: packed.columns.map((column) => ({ ...column, codes: numbersOf("uint8", column.codes) })),
    sides,
    tracks,
  };
}

/** The part of a flat array that belongs to one response. */
export function partOf(pairs, side, pair, values) {
  const { offsets } = pairs.sides[side];
  return values === null ? null : values.subarray(offsets[pair], offsets[pair + 1]);
}

export function rewardsOf(pairs, track, side, pair) {
  return partOf(pairs, side, pair, pairs.tracks[track][side].rewards);
}

const STRONG = 0.98;

/** The size of reward at which the scale of colours ends. */
export function strongSize(track) {
  const [chosen, rejected] = SIDES.map((side) => track[side].rewards);
  const all = new Float32Array(chosen.length + rejected.length);
  all.set(chosen);
  all.set(rejected, chosen.length);
  return sizeOf(all, STRONG);
}

const USUAL = 30;

/** The mask of a response at a share in whole percent, or the stored one where `percent` is null and there is one. */
export function selected(pairs, track, side, pair, percent) {
  const stored = pairs.tracks[track][side].mask;
  if (percent === null && stored) return partOf(pairs, side, pair, stored);
  const rewards = rewardsOf(pairs, track, side, pair);
  const { orders } = pairs.tracks[track][side];
  orders[pair] ??= orderOf(rewards, side);
  return maskOf(orders[pair], kOf(rewards.length, percent ?? USUAL));
}

/** A text as its parts: `[part, true]` of what was spelled out in it, `[part, false]` of what stands for itself. */
export function partsOf(text) {
  if (!text.includes(MARK)) return text ? [[text, false]] : [];
  const [first, ...marked] = text.split(MARK);
  return [[first, false], ...marked.flatMap((piece) => {
    const [mark, rest] = piece.split(END);
    return [[mark, true], [rest, false]];
  })].filter(([part]) => part !== "");
}

/** A text without what was spelled out in it. */
export function unmarked(text) {
  return partsOf(text).map(([part, marked]) => (marked ? "" : part)).join("");
}

/** The text of a response. */
export function textOf(pairs, side, pair) {
  const { codes } = pairs.sides[side];
  return unmarked(Array.from(partOf(pairs, side, pair, codes), (code) => pairs.texts[code]).join(""));
}

/** What is searched, in lower case: prompt, chosen and rejected of every pair. */
export function searched(pairs) {
  return pairs.prompts.map((prompt, pair) => {
    const texts = [unmarked(prompt), ...SIDES.map((side) => textOf(pairs, side, pair))];
    return texts.join("\u0000").toLowerCase();
  });
}

/** 1 - overlap of the selection of `track` with those of others, the mean over them; of the stored ones where the
 *  shares in `percents` are null. Of the same rewards, the same shares select the same, so that only stored selections
 *  are compared. */
export function disagreement(pairs, track, pair, percents) {
  const stored = percents.chosen === null;
  const others = pairs.tracks.map((_, number) => number).filter((number) => number !== track
    && (pairs.tracks[number].holder !== pairs.tracks[track].holder || (stored && pairs.tracks[number].chosen.mask)));
  if (others.length === 0) return 0;
  const joined = (number) => SIDES.flatMap(
    (side) => Array.from(selected(pairs, number, side, pair, percents[side])),
  );
  const own = joined(track);
  return others.reduce((total, number) => total + 1 - overlapOf(own, joined(number)), 0) / others.length;
}

/** The function that gives the value by which the list is sorted. */
export function sortKey(pairs, track, sort, percents) {
  const { rows, margin } = pairs.tracks[track];
  const length = (side, pair) => pairs.sides[side].offsets[pair + 1] - pairs.sides[side].offsets[pair];
  const keys = {
    row: (pair) => rows[pair],
    margin: (pair) => margin[pair],
    reward: (pair) => sumsOf(rewardsOf(pairs, track, "chosen", pair), null).reward,
    rejected: (pair) => sumsOf(rewardsOf(pairs, track, "rejected", pair), null).reward,
    length: (pair) => length("chosen", pair) + length("rejected", pair),
    disagreement: (pair) => disagreement(pairs, track, pair, percents),
  };
  return keys[sort];
}

/** Numbers of the pairs that hold `text` in their `texts`, from `searched`, and have the values of all `filters`,
 *  `[column, code]` each; sorted by `key`. */
export function listed(pairs, texts, { text, filters, key, descending }) {
  const wanted = text.toLowerCase();
  const found = pairs.ids.map((_, pair) => pair).filter(
    (pair) => (!wanted || texts[pair].includes(wanted))
      && filters.every(([column, code]) => pairs.columns[column].codes[pair] === code),
  );
  const keys = new Map(found.map((pair) => [pair, key(pair)]));
  const sign = descending ? -1 : 1;
  return found.toSorted((a, b) => sign * (keys.get(a) - keys.get(b)) || a - b);
}
