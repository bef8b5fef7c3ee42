// Tests of the texts of the report's script, run by test_document_script.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import { count, digitsOf, keptText, share, signed } from "../../../../sepo_data/report/page/elements.js";

test("numbers have their sign, and zero is not negative", () => {
  assert.equal(signed(1.2345), "+1.234");
  assert.equal(signed(-0.5, 2), "\u22120.50");
  assert.equal(signed(-0.0001), "+0.000");
});

test("small numbers have digits enough for two figures", () => {
  assert.equal(digitsOf(0.46), 2);
  assert.equal(digitsOf(40), 2);
  assert.equal(signed(0.00031, digitsOf(0.00031)), "+0.00031");
  assert.equal(digitsOf(5e-324), 12);
});

test("counts are grouped", () => {
  assert.equal(count(1_234_567), "1,234,567");
});

test("a share of nothing is nothing", () => {
  assert.equal(share(1, 3), "33.3%");
  assert.equal(share(0, 0), "0.0%");
});

const sums = (tokens, reward, absolute) => ({ tokens, reward, absolute });

test("a selection is its tokens, its share of the reward and its margin for each pair", () => {
  const kept = { chosen: sums(3, 4, 4), rejected: sums(2, -1, 1) };
  const all = { chosen: sums(1000, 2, 12), rejected: sums(8, 3, 8) };
  assert.equal(
    keptText(kept, all, 2, "mean margin"),
    "3 of 1,000 chosen and 2 of 8 rejected tokens, 25.0% of the absolute reward; "
      + "mean margin of the selection +2.500, of all tokens \u22120.500",
  );
});
