// The detail of the span under the pointer or the focus, and the arrow keys that move from span to span.

import { element } from "./dom.js";

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
const labelled = element("labelled");
const detail = element("detail");

let entries = []; // { span, marks }, in reading order
let entryOf = new Map(); // by mark
let described = null; // the mark whose detail is shown

labelled.addEventListener("pointerover", ({ target }) => showDetail(target));
labelled.addEventListener("pointerleave", hideDetail);
labelled.addEventListener("focusin", ({ target }) => showDetail(target));
labelled.addEventListener("focusout", hideDetail);
labelled.addEventListener("keydown", onArrow);
addEventListener("keydown", ({ key }) => key === "Escape" && hideDetail());
addEventListener("scroll", () => described && placeDetail(), { passive: true });

/** Let the pointer and the keys reach these spans. One of them is a tab stop, the arrow keys lead to the others. */
export function connect(shown) {
  hideDetail();
  for (const { marks } of entries) marks[0].tabIndex = -1;
  entries = shown;
  entryOf = new Map(entries.flatMap((entry) => entry.marks.map((mark) => [mark, entry])));
  if (entries.length) entries[0].marks[0].tabIndex = 0;
}

function onArrow(event) {
  const step = STEPS[event.key];
  const place = entries.indexOf(entryOf.get(event.target));
  if (step === undefined || place < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const next = Math.min(Math.max(place + step, 0), entries.length - 1);
  event.target.tabIndex = -1;
  entries[next].marks[0].tabIndex = 0;
  entries[next].marks[0].focus();
}

function showDetail(target) {
  const mark = target.closest("mark:not(.off)");
  const entry = entryOf.get(mark);
  if (!entry) return hideDetail();
  const { type, score, start, end } = entry.span;
  element("detail-type").textContent = type;
  const rating = score === null ? "no score" : `score ${score.toFixed(3)}`;
  element("detail-rest").textContent = `· ${rating} · characters ${start}–${end}`;
  hideDetail();
  described = mark;
  described.setAttribute("aria-describedby", "detail");
  detail.hidden = false;
  placeDetail();
}

function hideDetail() {
  described?.removeAttribute("aria-describedby");
  described = null;
  detail.hidden = true;
}

/** Place the detail below the first line of its mark, or above it where there is no room. */
function placeDetail() {
  const { left, top, bottom } = described.getClientRects()[0];
  const { clientWidth, clientHeight } = document.documentElement;
  const { offsetWidth, offsetHeight } = detail;
  const isBelow = bottom + offsetHeight + 8 < clientHeight;
  detail.style.left = `${Math.max(8, Math.min(left, clientWidth - offsetWidth - 8))}px`;
  detail.style.top = `${isBelow ? bottom + 4 : top - offsetHeight - 4}px`;
}
