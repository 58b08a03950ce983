// What is copied: the formats of the writers `jsonl` and `conll`.

const SYMBOLS = { "\t": "␉", "\n": "␊", "\r": "␍" };

/** A record with only these spans; words of no span, or of another one, get the tag `O`. */
export function restricted(record, spans) {
  const kept = new Set(spans);
  const tagged = taggedWords(record, spans);
  return {
    ...record,
    words: record.words.map((word) => (tagged.has(word) ? word : { ...word, tag: "O" })),
    spans: record.spans.filter((span) => kept.has(span)),
  };
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
