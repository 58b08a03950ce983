// What the page says of the model.

import { element, make } from "./dom.js";
import { hue } from "./highlights.js";

/** Describe the model; `info` is what the server says of it. */
export function describe(info) {
  document.title = `${info.name} · sltk`;
  element("name").textContent = info.name;
  element("mask").hidden = !info.mask;
  if (info.mask) drawMask(info.mask);
  element("proof").hidden = !info.proof?.holds;
  element("facts").replaceChildren(...facts(info).flatMap(rowsOf));
  element("model").hidden = false;
}

/** Draw one square per block, and say the same in words. */
function drawMask({ notation, blocks, unmasked }) {
  const flags = Array.from({ length: blocks }, (_, block) => unmasked.includes(block));
  const squares = flags.map((isUnmasked) => {
    const square = make("i");
    square.classList.toggle("unmasked", isUnmasked);
    return square;
  });
  element("blocks").replaceChildren(...squares);
  const name = notation === null ? "mask" : `mask ${notation}`;
  element("mask-text").textContent = `${name} on ${blocks} blocks: ${rangesOf(flags)}`;
}

/** Runs of equal flags, such as `0–7 causal, 8–29 unmasked`. */
function rangesOf(flags) {
  const starts = flags.flatMap((flag, block) => (flag === flags[block - 1] ? [] : [block]));
  const ranges = starts.map((first, number) => {
    const last = (starts[number + 1] ?? flags.length) - 1;
    return `${first === last ? first : `${first}–${last}`} ${flags[first] ? "unmasked" : "causal"}`;
  });
  return ranges.join(", ");
}

/** Terms with their values; those without a value are left out. */
function facts({ types, scheme, scores, versions, format }) {
  const splits = Object.entries(scores ?? {}).filter(([, { f1 }]) => f1 !== undefined);
  const parts = Object.entries(versions ?? {});
  return [
    [types.length === 1 ? "1 type" : `${types.length} types`, [marksOf(types)]],
    ["scheme", [scheme]],
    ["F1", splits.map(([split, { f1 }]) => `${split} ${f1.toFixed(4)}`)],
    ["format", [format]],
    ["versions", [parts.map(([name, version]) => `${name} ${version}`).join(", ")]],
  ].filter(([, values]) => values.some(Boolean));
}

function marksOf(types) {
  const marks = types.map((type, index) => {
    const mark = make("mark", type);
    mark.style.setProperty("--hue", hue(index));
    return mark;
  });
  return make("div", ...marks);
}

function rowsOf([name, values]) {
  return [make("dt", name), ...values.map((value) => make("dd", value))];
}
