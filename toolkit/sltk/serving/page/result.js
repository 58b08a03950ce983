// The result: the text with its spans, a legend, a table, and which of the spans are shown.

import { connect } from "./detail.js";
import { element, make } from "./dom.js";
import { restricted } from "./formats.js";
import { hue, paint, spansOf } from "./highlights.js";

const FEW_TYPES = 20; // legends of more types have only those that occur

let info = null;
let record = null;
let entries = []; // per span: { span, marks, row, isShown }
let keys = new Map(); // per type of the legend: { button, count }
const hiddenTypes = new Set();

element("threshold").addEventListener("input", () => {
  element("use-own").checked = false;
  update();
});
element("use-own").addEventListener("change", update);

/** Show a record of the server; `info` is what the server says of its model. */
export function show(newRecord, newInfo) {
  [record, info] = [newRecord, newInfo];
  const spans = spansOf(record, info.scheme);
  const marks = paint(element("labelled"), record.text, spans, hueOf);
  entries = spans.map((span) => ({ span, marks: marks.get(span), row: rowOf(span) }));
  element("rows").replaceChildren(...entries.map(({ row }) => row));
  drawLegend();
  element("result").hidden = false;
  update();
}

/** Offer the thresholds of the model, if it has some. */
export function offerThresholds(thresholds) {
  const hasSome = Object.keys(thresholds ?? {}).length > 0;
  element("own-thresholds").hidden = !hasSome;
  element("use-own").checked = hasSome;
}

/** The record with only the spans that are shown. */
export function shownRecord() {
  return restricted(record, shownEntries().map(({ span }) => span), info.scheme);
}

function shownEntries() {
  return entries.filter(({ isShown }) => isShown);
}

function hueOf(type) {
  return hue(info.types.indexOf(type));
}

function rowOf({ text, type, score, start, end }) {
  const values = [text, type, score?.toFixed(3) ?? "", `${start}–${end}`];
  const row = make("tr", ...values.map((value) => make("td", value)));
  row.cells[0].dir = row.cells[1].dir = "auto";
  return row;
}

function drawLegend() {
  const occurring = new Set(entries.map(({ span }) => span.type));
  const types = info.types.filter((type) => occurring.has(type) || info.types.length <= FEW_TYPES);
  keys = new Map(types.map((type) => [type, keyOf(type)]));
  element("legend").replaceChildren(...[...keys.values()].map(({ button }) => button));
}

function keyOf(type) {
  const count = make("span");
  const button = make("button", make("bdi", type), " ", count);
  button.type = "button";
  button.style.setProperty("--hue", hueOf(type));
  button.addEventListener("click", () => {
    if (!hiddenTypes.delete(type)) hiddenTypes.add(type);
    update();
  });
  return { button, count };
}

/** Show the spans of the pressed types whose scores suffice. */
function update() {
  if (!record) return;
  const least = Number(element("threshold").value);
  const thresholds = element("use-own").checked ? info.thresholds : null;
  for (const entry of entries) {
    const { type, score } = entry.span;
    const needed = thresholds ? (thresholds[type] ?? 0) : least;
    entry.isShown = !hiddenTypes.has(type) && (score ?? 1) >= needed;
    for (const mark of entry.marks) mark.classList.toggle("off", !entry.isShown);
    entry.row.hidden = !entry.isShown;
  }
  element("threshold-value").textContent = thresholds ? "by type" : least.toFixed(2);
  element("shown").textContent = `${shownEntries().length} of ${entries.length} spans`;
  updateLegend();
  connect(shownEntries());
}

function updateLegend() {
  for (const [type, { button, count }] of keys) {
    const own = entries.filter(({ span }) => span.type === type);
    const shown = own.filter(({ isShown }) => isShown);
    count.textContent = shown.length < own.length ? `${shown.length}/${own.length}` : own.length;
    button.ariaPressed = !hiddenTypes.has(type);
    button.classList.toggle("absent", own.length === 0);
  }
}
