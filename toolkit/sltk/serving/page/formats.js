// What is copied: the formats of the writers `jsonl` and `conll`.

const SYMBOLS = { "\t": "␉", "\n": "␊", "\r": "␍" };

/** A record with only these spans; words of no span, or of another one, get the tag `O`. */
export function restricted(record, spans, scheme) {
  const kept = new Set(spans);
  const words = scheme === "layers" ? layeredWords(record, spans) : flatWords(record, spans);
  return { ...record, words, spans: record.spans.filter((span) => kept.has(span)) };
}

function flatWords(record, spans) {
  const tagged = taggedWords(record, spans);
  return record.words.map((word) => (tagged.has(word) ? word : { ...word, tag: "O" }));
}

/** Words with one tag for each layer, as in schemes/layers.py: the longest span first, each on the first free layer. */
function layeredWords({ words }, spans) {
  const firsts = new Map(words.map(({ start }, number) => [start, number]));
  const lasts = new Map(words.map(({ end }, number) => [end, number]));
  const places = spans.map(({ start, end, type }) => ({ first: firsts.get(start), last: lasts.get(end), type }));
  const tags = words.map(() => []);
  for (const { first, last, type } of places.sort(longestFirst)) {
    let layer = 0;
    while (tags[first][layer] || tags[last][layer]) layer++; // no span before this one is shorter
    for (let number = first; number <= last; number++) {
      tags[number][layer] = `${number === first ? "B" : "I"}-${type}`;
    }
  }
  return words.map((word, number) => ({ ...word, tag: Array.from(tags[number], (tag) => tag ?? "O").join("|") || "O" }));
}

function longestFirst(one, other) {
  const byLength = other.last - other.first - (one.last - one.first);
  return byLength || one.first - other.first || (one.type < other.type ? -1 : 1);
}

/** The words whose tags come from these spans; of spans that overlap, tags encode only one. */
function taggedWords({ words }, spans) {
  const numbers = new Map(words.map(({ start }, number) => [start, number]));
  const tagged = new Set();
  for (const { start, end, type } of spans) {
    for (let number = numbers.get(start); words[number]?.start < end; number++) {
      const { tag } = words[number];
      if (tag === type || tag.slice(2) === type) tagged.add(words[number]);
    }
  }
  return tagged;
}

/** One line of JSON, with escapes for the characters at which some programs end a line. */
export function toJson(record) {
  const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `${JSON.stringify(record).replace(/[\x7f-\x9f\u2028\u2029]/g, escaped)}\n`;
}

/** One word and its tag per line, with a blank line after each line of the text that has words. */
export function toConll({ text, words }) {
  const characters = Array.from(text);
  const isLast = (number) =>
    number + 1 === words.length || characters.slice(words[number].end, words[number + 1].start).includes("\n");
  const rows = words.map(
    ({ text: word, tag }, number) => `${cell(word)}\t${cell(tag)}\n${isLast(number) ? "\n" : ""}`,
  );
  return rows.join("");
}

function cell(text) {
  return text.replace(/[\t\n\r]/g, (character) => SYMBOLS[character]);
}
