// Tests of the pairs of the report's script, run by test_document_script.py.
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import {
  disagreement, listed, partsOf, readPairs, searched, selected, sortKey, strongSize, textOf, unmarked,
} from "../../../../sepo_data/report/page/pairs.js";

const packed = (type, values) => Buffer.from(type.from(values).buffer).toString("base64");
const ints = (...values) => packed(Int32Array, values);
const floats = (...values) => packed(Float32Array, values);
const codes = (...values) => ({ uint16: packed(Uint16Array, values) });

/** Two pairs: chosen of 3 and 1 tokens, rejected of 2 and 2. */
const pairs = readPairs({
  ids: ["aa", "bb"],
  prompts: ["Tea?", "Coffee \u0001\\u202e\u0002?"],
  previews: ["Tea?", "Coffee?"],
  tokens: { ids: ints(10, 11, 12), texts: ["Yes", " please", "\u0001<0xF0>\u0002"] },
  sides: {
    chosen: { lengths: ints(3, 1), codes: codes(0, 1, 2, 0) },
    rejected: { lengths: ints(2, 2), codes: codes(1, 0, 2, 2) },
  },
  tracks: [
    {
      holder: 0,
      rows: ints(4, 9),
      margin: floats(-1, 2),
      chosen: { rewards: floats(1, 3, 2, 5), oracle_logps: { thousandths: packed(Uint16Array, [1, 2, 3, 4]) },
        ref_logps: { float32: floats(-1, -2, -3, -4) } },
      rejected: { rewards: floats(0, -1, 4, 5) },
    },
    {
      holder: 1,
      rows: ints(9, 4),
      margin: floats(0, 0),
      chosen: { rewards: floats(3, 1, 2, 5), mask: Buffer.from([0b1100]).toString("base64") },
      rejected: { rewards: floats(0, -1, 4, 5), mask: Buffer.from([0b0101]).toString("base64") },
    },
  ],
  columns: [{ name: "split", label: "split", values: ["test", "train"], codes: packed(Uint8Array, [1, 0]) }],
});
const everything = { text: "", filters: [], key: (pair) => pair, descending: false };
const find = (text) => listed(pairs, searched(pairs), { ...everything, text });
const order = (sort, descending = false, track = 0) => listed(
  pairs, null, { ...everything, key: sortKey(pairs, track, sort, { chosen: 34, rejected: 50 }), descending },
);

test("values of a token belong to its response", () => {
  assert.deepEqual([...pairs.sides.chosen.offsets], [0, 3, 4]);
  assert.deepEqual([...pairs.tracks[0].chosen.oracle], [-0.001, -0.002, -0.003, -0.004]);
  assert.equal(pairs.tracks[1].chosen.oracle, null);
});

test("masks are those of the share, or the stored ones", () => {
  assert.deepEqual([...selected(pairs, 0, "chosen", 0, 67)], [0, 1, 1]);
  assert.deepEqual([...selected(pairs, 0, "rejected", 1, 1)], [1, 0]);
  assert.deepEqual([...selected(pairs, 1, "chosen", 0, null)], [0, 0, 1]);
  assert.deepEqual([...selected(pairs, 1, "rejected", 1, null)], [1, 0]);
});

test("text that was spelled out is no text of the response", () => {
  assert.equal(textOf(pairs, "chosen", 0), "Yes please");
  assert.equal(unmarked("a\u0001\\x00\u0002b"), "ab");
  assert.deepEqual(partsOf("a\u0001\\x00\u0002\u0001\\x01\u0002b"),
    [["a", false], ["\\x00", true], ["\\x01", true], ["b", false]]);
  assert.deepEqual(partsOf(""), []);
});

test("the search reads prompts and responses, whatever their case", () => {
  assert.deepEqual(find("COFFEE"), [1]);
  assert.deepEqual(find("yes please"), [0]);
  assert.deepEqual(find("tea?yes"), []);
  assert.deepEqual(find("<0xF0>"), []);
});

test("filters are met together", () => {
  assert.deepEqual(listed(pairs, null, { ...everything, filters: [[0, 1]] }), [0]);
  assert.deepEqual(listed(pairs, null, { ...everything, filters: [[0, 1], [0, 0]] }), []);
});

test("the list is sorted by the rewards of the track", () => {
  assert.deepEqual(order("row"), [0, 1]);
  assert.deepEqual(order("row", false, 1), [1, 0]);
  assert.deepEqual(order("margin", true), [1, 0]);
  assert.deepEqual(order("reward"), [1, 0]);
  assert.deepEqual(order("rejected"), [0, 1]);
  assert.deepEqual(order("length"), [1, 0]);
  assert.deepEqual(order("disagreement", true), [0, 1]);
});

test("equal keys keep the order of the rows", () => {
  assert.deepEqual(listed(pairs, null, { ...everything, key: () => 0, descending: true }), [0, 1]);
});

test("the disagreement is of the tokens of both sides", () => {
  // At 34% one of three chosen tokens each, another one; at 50% one of two rejected ones, the same: 1 of 3 in both.
  assert.equal(disagreement(pairs, 0, 0, { chosen: 34, rejected: 50 }), 1 - 1 / 3);
  // The first track has no stored masks, so 30% stands for them: the second token of both sides against the third of
  // chosen and the first of rejected.
  assert.equal(disagreement(pairs, 0, 0, { chosen: null, rejected: null }), 1);
});

test("of the same rewards, stored selections alone can disagree", () => {
  const [rewards, selection] = pairs.tracks;
  const same = { ...pairs, tracks: [rewards, { ...selection, holder: 0 }, { ...selection, holder: 0 }] };
  assert.equal(disagreement(same, 0, 0, { chosen: 34, rejected: 50 }), 0);
  assert.equal(disagreement(same, 1, 0, { chosen: 34, rejected: 50 }), 0);
  assert.equal(disagreement(same, 0, 0, { chosen: null, rejected: null }), 1);
  assert.equal(disagreement(same, 1, 0, { chosen: null, rejected: null }), 0);
});

test("the scale ends at the size that nearly all rewards have at most", () => {
  assert.equal(strongSize(pairs.tracks[0]), 5);
});
