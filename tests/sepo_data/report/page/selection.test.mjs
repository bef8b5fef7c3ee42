// Tests of the numbers of the report's script, run by test_document_script.py.
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import {
  bitsOf, kOf, logpsOf, maskOf, numbersOf, offsetsOf, orderOf, overlapOf, ranksOf, sizeOf, stepOf, sumsOf,
} from "../../../../sepo_data/report/page/selection.js";

const base64 = (...bytes) => Buffer.from(bytes).toString("base64");
const rewards = (...values) => Float32Array.from(values);
const marked = (values, side, k) => [...maskOf(orderOf(values, side), k)];

test("arrays are little-endian", () => {
  assert.deepEqual([...numbersOf("int32", base64(1, 0, 0, 0, 255, 255, 255, 255))], [1, -1]);
  assert.deepEqual([...numbersOf("uint16", base64(1, 2, 255, 255))], [513, 65_535]);
  assert.deepEqual([...numbersOf("uint32", base64(0, 0, 1, 0))], [65_536]);
  assert.deepEqual([...numbersOf("uint8", base64(3, 250))], [3, 250]);
  assert.deepEqual([...numbersOf("float32", base64(0, 0, 128, 63, 0, 0, 0, 192))], [1, -2]);
  assert.equal(numbersOf("float32", "").length, 0);
});

test("bits begin with the lowest of a byte", () => {
  assert.deepEqual([...bitsOf(base64(0b101, 0b1), 10)], [1, 0, 1, 0, 0, 0, 0, 0, 1, 0]);
});

test("log-probabilities are floats or thousandths", () => {
  assert.deepEqual([...logpsOf({ float32: base64(0, 0, 0, 192) })], [-2]);
  assert.deepEqual([...logpsOf({ thousandths: base64(0xD2, 0x04) })], [-1.234]);
});

test("offsets begin at 0", () => {
  assert.deepEqual([...offsetsOf([2, 0, 3])], [0, 2, 2, 5]);
});

test("k is floored in integers, and at least 1", () => {
  // In floats 0.07 * 100 is 7.000000000000001, and 0.29 * 100 is 28.999999999999996.
  assert.equal(kOf(100, 7), 7);
  assert.equal(kOf(100, 29), 29);
  assert.equal(kOf(10, 35), 3);
  assert.equal(kOf(3, 1), 1);
  assert.equal(kOf(7, 100), 7);
  for (let n = 1; n <= 1000; n += 1) {
    for (let percent = 1; percent <= 100; percent += 1) {
      const exact = Number((BigInt(n) * BigInt(percent)) / 100n);
      assert.equal(kOf(n, percent), Math.max(1, exact));
    }
  }
});

test("ties go to the earliest token, and -0 equals 0", () => {
  assert.deepEqual(marked(rewards(0, 1, 1, 1), "chosen", 2), [0, 1, 1, 0]);
  assert.deepEqual(marked(rewards(-0, 0, -0, 0), "chosen", 2), [1, 1, 0, 0]);
  assert.deepEqual(marked(rewards(0, -0, 1, -0), "rejected", 2), [1, 1, 0, 0]);
  assert.deepEqual(marked(rewards(3, -4, -4, 2), "rejected", 1), [0, 1, 0, 0]);
});

test("floats are compared as they are", () => {
  // The first two are the same float32, the third is the next one.
  const near = rewards(0.1, 0.1 + 1e-10, 0.1 + 1e-8);
  assert.deepEqual(marked(near, "chosen", 1), [0, 0, 1]);
  assert.deepEqual(marked(near, "chosen", 2), [1, 0, 1]);
});

test("ranks are places in the order, from 1", () => {
  assert.deepEqual([...ranksOf(orderOf(rewards(0.5, 2, -1, 2), "chosen"))], [3, 1, 4, 2]);
  assert.deepEqual([...ranksOf(orderOf(rewards(0.5, 2, -1, 2), "rejected"))], [2, 3, 1, 4]);
});

test("sums are of the marked tokens, or of all", () => {
  const values = rewards(0.5, -2, 1);
  assert.deepEqual(sumsOf(values, [1, 1, 0]), { tokens: 2, reward: -1.5, absolute: 2.5 });
  assert.deepEqual(sumsOf(values, null), { tokens: 3, reward: -0.5, absolute: 3.5 });
});

test("the overlap is a Jaccard index", () => {
  assert.equal(overlapOf([1, 1, 0, 0], [0, 1, 1, 0]), 1 / 3);
  assert.equal(overlapOf([0, 0], [0, 0]), 1);
});

test("the scale of colours ends at the size and is symmetric", () => {
  assert.equal(sizeOf(rewards(-1, 2, 3, -4), 0.5), 3);
  assert.equal(sizeOf(rewards(0, 0), 0.98), 1);
  assert.equal(sizeOf(rewards(), 0.98), 1);
  assert.deepEqual([-9, -1, -0.05, 0, 0.05, 1, 9].map((reward) => stepOf(reward, 1)), [0, 0, 10, 10, 11, 20, 20]);
});
