// Elements and numbers of the page. Text is set as text alone, never as HTML.
import { MARK, SIDES, partsOf } from "./pairs.js";

const BLANKS = new Map([["\n", "\u21B5"], ["\t", "\u21E5"]]);

export const byId = (name) => document.querySelector(`#${name}`);
export const count = (value) => value.toLocaleString("en-US");
/** The part of a whole, in percent. */
export const share = (part, all) => (all ? `${(100 * part / all).toFixed(1)}%` : "0.0%");
/** A number with its sign; minus is as wide as plus, and nothing is minus 0. */
export const signed = (value, digits = 3) => {
  const text = Math.abs(value).toFixed(digits);
  return (value < 0 && Number(text) !== 0 ? "\u2212" : "+") + text;
};
/** An element with these classes and this text. */
export function element(name, classes = "", text = "") {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text) made.textContent = text;
  return made;
}

/** A number with its name. */
export function factOf([name, value]) {
  const fact = element("span", "fact");
  fact.append(element("span", "fact-name", name ? `${name} ` : ""), element("span", "fact-value", value));
  return fact;
}

/** Append a text: what was spelled out is set apart, and line breaks and tabs are marked. */
export function appendSeen(parent, text) {
  if (![MARK, ...BLANKS.keys()].some((unseen) => text.includes(unseen))) {
    parent.append(text);
    return;
  }
  for (const [part, marked] of partsOf(text)) {
    if (marked) {
      parent.append(element("span", "mark", part));
    } else {
      for (const piece of part.split(/(?=[\n\t])|(?<=[\n\t])/u)) {
        if (BLANKS.has(piece)) parent.append(element("span", "mark blank", BLANKS.get(piece)));
        parent.append(piece);
      }
    }
  }
}

/** Digits behind the point that show two figures of a number of this size, and not fewer than two. */
export const digitsOf = (size) => Math.min(12, Math.max(2, 1 - Math.floor(Math.log10(size))));

/** Scroll the list alone: `scrollIntoView` moves the page, too, and the place where the Tab key starts. */
export function reveal(option, list) {
  const [frame, box] = [list, option].map((one) => one.getBoundingClientRect());
  if (box.top < frame.top) list.scrollTop -= frame.top - box.top;
  else if (box.bottom > frame.bottom) list.scrollTop += box.bottom - frame.bottom;
}

/** The side and the position of the token that an event is about; null beside the tokens. */
export function tokenOf(event) {
  const token = event.target.closest(".token");
  return token ? { side: token.parentElement.dataset.side, position: Number(token.dataset.position) } : null;
}

/** "12 of 40 chosen and 10 of 33 rejected tokens, 61.2% of the absolute reward; margin of the selection +1.23". */
export function keptText(kept, all, per, name) {
  const tokens = SIDES.map((side) => `${count(kept[side].tokens)} of ${count(all[side].tokens)} ${side}`)
    .join(" and ");
  const [part, total] = [kept, all].map((of) => of.chosen.absolute + of.rejected.absolute);
  const [margin, full] = [kept, all].map((of) => (of.chosen.reward - of.rejected.reward) / per);
  const margins = `${name} of the selection ${signed(margin)}, of all tokens ${signed(full)}`;
  return `${tokens} tokens, ${share(part, total)} of the absolute reward; ${margins}`;
}
