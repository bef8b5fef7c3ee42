// The lines of the list of pairs. Each is made once a track, so that a search or a sort only moves them.
import { count, element, signed } from "./elements.js";
import { textOf } from "./pairs.js";

const PREVIEW = 90;

/** One line of the list. Its `data-pair` is the row in the first directory, as `sepo show --pair` takes it. */
function optionOf(pairs, track, pair) {
  const option = element("li");
  const { rows, margin } = pairs.tracks[track];
  option.id = `pair-${pair}`;
  option.dataset.number = pair;
  option.dataset.pair = pairs.tracks[0].rows[pair];
  option.setAttribute("role", "option");
  option.setAttribute("aria-selected", "false");
  const head = element("span", "option-head");
  const value = element("span", margin[pair] < 0 ? "option-margin loss" : "option-margin", signed(margin[pair], 2));
  value.append(element("span", "option-extra"));
  head.append(element("span", "option-row", count(rows[pair])), value);
  const preview = pairs.previews[pair] || textOf(pairs, "chosen", pair);
  option.append(head, element("span", "option-text", preview.slice(0, PREVIEW)));
  return option;
}

/** The function that gives the line of a pair, with an `extra` text behind its margin. */
export function optionsOf(pairs) {
  const made = pairs.tracks.map(() => []);
  return (track, pair, extra = null) => {
    made[track][pair] ??= optionOf(pairs, track, pair);
    const shown = made[track][pair].querySelector(".option-extra");
    if (extra !== null && shown.textContent !== extra) shown.textContent = extra;
    return made[track][pair];
  };
}
