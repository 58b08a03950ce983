// A text with its spans marked.

import { unitOffsets } from "./code_points.js";
import { make } from "./dom.js";

/** The hue of a type, in degrees, as in files/web_page.py: steps of the golden angle give distant hues. */
export function hue(index) {
  return (((30 - 137.5 * index) % 360) + 360) % 360;
}

/** The spans in reading order; with plain tags, which form no spans, each word with a tag. */
export function spansOf({ spans, words }, scheme) {
  const tagged = words.filter(({ tag }) => tag !== "O");
  const all = scheme === "plain" ? tagged.map((word) => ({ score: null, ...word, type: word.tag })) : [...spans];
  return all.sort(byPlace);
}

/**
 * Fill an element with a text and its spans, which are in reading order; return the `mark` elements of each span.
 *
 * Elements must nest, so a span that begins in another and ends after it has several.
 */
export function paint(parent, text, spans, hueOf) {
  const units = unitOffsets(text);
  const slice = (start, end) => text.slice(units[start], units[end]);
  const marks = new Map(spans.map((span) => [span, []]));
  const waiting = spans.map((span) => ({ span, start: span.start, end: span.end }));

  function fill(element, start, end) {
    while (waiting.length && waiting[0].start < end) {
      const piece = waiting.shift();
      element.append(slice(start, piece.start));
      if (piece.end > end) {
        insert(waiting, { ...piece, start: end });
        piece.end = end;
      }
      element.append(markOf(piece));
      start = piece.end;
    }
    element.append(slice(start, end));
  }

  function markOf({ span, start, end }) {
    const mark = make("mark");
    mark.tabIndex = -1;
    mark.style.setProperty("--hue", hueOf(span.type));
    if (span.score !== null) mark.style.setProperty("--score", span.score);
    marks.get(span).push(mark);
    fill(mark, start, end);
    if (end === span.end) mark.append(make("small", span.type));
    return mark;
  }

  parent.replaceChildren();
  fill(parent, 0, units.length - 1);
  return marks;
}

/** By their first character, longer ones first. */
function byPlace(one, other) {
  return one.start - other.start || other.end - one.end;
}

function insert(pieces, piece) {
  const place = pieces.findIndex((other) => byPlace(piece, other) < 0);
  pieces.splice(place < 0 ? pieces.length : place, 0, piece);
}
