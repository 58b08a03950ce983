// The server counts characters as Unicode code points, JavaScript as UTF-16 units: an emoji is one, or two.

/** The UTF-16 index of each code point of a text, and of its end. */
export function unitOffsets(text) {
  const offsets = [];
  let unit = 0;
  for (const character of text) {
    offsets.push(unit);
    unit += character.length;
  }
  offsets.push(unit);
  return offsets;
}
