// Filters and draws the sentences of the page. Text reaches the document only through text nodes.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { runs, types, kinds, sentences } = data;
  const PER_PAGE = 25;
  const LONG = 300; // words of a sentence that is shown in part
  const CONTEXT = 20; // words around a span in such a sentence
  const MOST_WORDS = 600; // of such a sentence
  const MOST_ERRORS = 20; // errors that are listed under a sentence
  const NO_ERROR = kinds.length; // the number of the filter `sentences without errors`
  const CORRECT = kinds.indexOf("correct");
  const two = runs.length > 1;
  const letters = two ? ["A", "B"] : ["predicted"];
  const number = new Intl.NumberFormat("en");
  const count = (value, one, many = `${one}s`) => `${number.format(value)} ${value === 1 ? one : many}`;
  const byId = (id) => document.getElementById(id);

  function make(tag, className, ...content) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...content);
    return made;
  }

  // What is computed once: lower-case text for the search.
  const texts = sentences.map(([words]) => words.join(" ").toLowerCase());
  const withoutError = sentences.map(([, , ofRuns]) => ofRuns.every(([, all]) => all.every(([kind]) => kind === CORRECT)));

  const state = { kinds: new Set(), pair: null, page: 0, matches: [] };
  for (let kind = 0; kind < kinds.length; kind++) if (kind !== CORRECT) state.kinds.add(kind);

  // The head of the page.

  function summary() {
    const parts = [count(sentences.length, "sentence")];
    data.counts.forEach((rows, run) => {
      const [correct, gold, predicted] = [rows[CORRECT][0], total(rows, 1), total(rows, 2)];
      const f1 = gold + predicted ? (200 * correct) / (gold + predicted) : 0;
      const units = data.plain ? ["tag", "tags"] : ["span", "spans"];
      parts.push(
        `${two ? `${letters[run]} is ${runs[run]}: ` : ""}${count(gold, `gold ${units[0]}`, `gold ${units[1]}`)}, ` +
          `${number.format(predicted)} predicted, ${number.format(correct)} correct, ` +
          (data.plain ? `accuracy ${((100 * correct) / (gold || 1)).toFixed(2)}` : `F1 ${f1.toFixed(2)}`),
      );
    });
    if (!data.scored.some(Boolean)) parts.push("no scores are stored, so errors cannot be sorted by confidence");
    byId("summary").append(...parts.map((part) => make("span", "", part)));
  }

  const total = (rows, column) => rows.reduce((sum, row) => sum + row[column], 0);

  function kindTable() {
    const table = byId("kinds");
    const head = make("thead");
    if (two) {
      const groups = runs.map((name, run) => Object.assign(make("th", "", `${letters[run]}: ${name}`), { colSpan: 3 }));
      head.append(make("tr", "", make("th"), ...groups));
    }
    const columns = runs.flatMap(() => ["times", "gold spans", "predicted spans"]);
    head.append(make("tr", "", ...["kind", ...columns].map((name) => Object.assign(make("th", "", name), { scope: "col" }))));
    const body = make("tbody");
    kinds.forEach((kind, place) => {
      const cells = data.counts.flatMap((rows) => rows[place].map((value) => make("td", value ? "" : "zero", number.format(value))));
      body.append(make("tr", "", make("th", "", check(place, kind)), ...cells));
    });
    const foot = make("tfoot");
    const all = data.counts.flatMap((rows) => [0, 1, 2].map((column) => make("td", "", number.format(total(rows, column)))));
    foot.append(make("tr", "", make("th", "", "together"), ...all));
    const clean = number.format(withoutError.filter(Boolean).length);
    const last = make("tr", "", make("th", "", check(NO_ERROR, "sentences without errors")), make("td", "", clean));
    foot.append(last);
    table.append(head, body, foot);
  }

  function check(kind, name) {
    const box = Object.assign(make("input"), { type: "checkbox", checked: state.kinds.has(kind) });
    box.dataset.kind = kind;
    box.addEventListener("change", () => {
      if (box.checked) state.kinds.add(kind);
      else state.kinds.delete(kind);
      filter();
    });
    return make("label", "", box, ` ${name}`);
  }

  function typeTable() {
    const rows = types.map(() => runs.map(() => new Array(kinds.length).fill(0)));
    const pairs = new Map();
    for (const [, gold, ofRuns] of sentences) {
      ofRuns.forEach(([predicted, all], run) => {
        for (const [kind, golds, guesses] of all) {
          for (const place of golds) rows[gold[place][2]][run][kind]++;
          if (!golds.length) for (const place of guesses) rows[predicted[place][2]][run][kind]++;
          if (golds.length !== 1 || guesses.length !== 1) continue;
          const [one, other] = [gold[golds[0]][2], predicted[guesses[0]][2]];
          if (one === other) continue;
          const key = `${one} ${other}`;
          if (!pairs.has(key)) pairs.set(key, { one, other, counts: runs.map(() => 0) });
          pairs.get(key).counts[run]++;
        }
      });
    }
    const table = make("table", "types", make("caption", "", "Gold spans by type and kind; spurious: predicted spans"));
    table.append(make("thead", "", make("tr", "", ...["type", ...kinds].map((name) => Object.assign(make("th", "", name), { scope: "col" })))));
    const body = make("tbody");
    types.forEach((type, place) => {
      const cells = kinds.map((_, kind) => {
        const values = rows[place].map((run) => run[kind]);
        return make("td", values.some(Boolean) ? "" : "zero", values.map((value) => number.format(value)).join(" / "));
      });
      body.append(make("tr", "", make("th", "", label(place)), ...cells));
    });
    table.append(body);
    byId("pair-list").append(make("div", "scroll", table));
    const sum = (pair) => pair.counts.reduce((one, other) => one + other, 0);
    const ordered = [...pairs.values()].sort((one, other) => sum(other) - sum(one));
    const list = make("div", "pairs");
    for (const pair of ordered.slice(0, 40)) {
      const button = make("button", "", make("bdi", "", types[pair.one]), " → ", make("bdi", "", types[pair.other]), ` ${pair.counts.join(" / ")}`);
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        const chosen = state.pair !== pair;
        for (const other of list.children) other.setAttribute("aria-pressed", "false");
        button.setAttribute("aria-pressed", String(chosen));
        state.pair = chosen ? pair : null;
        filter();
      });
      list.append(button);
    }
    const more = ordered.length > 40 ? ` The 40 most frequent of ${number.format(ordered.length)}.` : "";
    const text = ordered.length
      ? `Gold type → predicted type, where one span was found with another type. A choice shows these errors only.${more}`
      : "No span was found with another type.";
    byId("pair-list").append(make("p", "note", text), list);
  }

  function label(type) {
    const made = make("bdi", "type", types[type]);
    made.style.setProperty("--hue", data.hues[type]);
    return made;
  }

  function fields() {
    types.forEach((type, place) => byId("type").append(Object.assign(make("option", "", type), { value: place })));
    byId("agreement-field").hidden = !two;
    if (two) {
      const wins = letters.map((letter, run) => Object.assign(make("option", "", `where only ${letter} is right`), { value: `only${run}` }));
      byId("agreement").append(...wins);
    }
    if (!data.scored.some(Boolean)) {
      for (const option of byId("order").options) option.disabled = ["confident", "unsure"].includes(option.value);
    }
    for (const id of ["type", "text", "shortest", "longest", "agreement", "order"]) byId(id).addEventListener("input", filter);
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("clear").addEventListener("click", reset);
    for (const button of document.querySelectorAll(".previous")) button.addEventListener("click", () => turn(-1));
    for (const button of document.querySelectorAll(".next")) button.addEventListener("click", () => turn(1));
  }

  function reset() {
    byId("filters").reset();
    state.pair = null;
    for (const button of document.querySelectorAll(".pairs button")) button.setAttribute("aria-pressed", "false");
    for (const box of document.querySelectorAll("[data-kind]")) {
      const kind = Number(box.dataset.kind);
      box.checked = kind < NO_ERROR && kind !== CORRECT;
      if (box.checked) state.kinds.add(kind);
      else state.kinds.delete(kind);
    }
    filter();
  }

  // The filter.

  function wanted() {
    const length = (id, otherwise) => (byId(id).value === "" ? otherwise : Number(byId(id).value));
    return {
      type: byId("type").value === "" ? null : Number(byId("type").value),
      text: byId("text").value.toLowerCase().trim().split(/\s+/).join(" "),
      shortest: length("shortest", 0),
      longest: length("longest", Infinity),
      agreement: byId("agreement").value,
      order: byId("order").value,
    };
  }

  /** Whether a comparison of a sentence is chosen by its kind, its types and the pair of types. */
  function isChosen([kind, golds, guesses], gold, predicted, { type }) {
    if (!state.kinds.has(kind)) return false;
    if (type !== null && !golds.some((place) => gold[place][2] === type) && !guesses.some((place) => predicted[place][2] === type)) return false;
    if (!state.pair) return true;
    const { one, other } = state.pair;
    return golds.length === 1 && guesses.length === 1 && gold[golds[0]][2] === one && predicted[guesses[0]][2] === other;
  }

  const key = ([start, end, type]) => `${start} ${end} ${type}`;

  /** The spans on which two runs differ, as keys; with `only`, those that this run alone has right. */
  function differing([, gold, ofRuns], agreement) {
    const sides = ofRuns.map(([predicted]) => new Set(predicted.map(key)));
    if (agreement === "differ") {
      return new Set([...sides[0], ...sides[1]].filter((each) => !(sides[0].has(each) && sides[1].has(each))));
    }
    const run = Number(agreement.slice(4));
    const golds = new Set(gold.map(key));
    const right = [...sides[run]].filter((each) => golds.has(each) && !sides[1 - run].has(each));
    const avoided = [...sides[1 - run]].filter((each) => !golds.has(each) && !sides[run].has(each));
    return new Set([...right, ...avoided]);
  }

  function matchesOf(place, filters) {
    const [words, gold, ofRuns] = sentences[place];
    if (words.length < filters.shortest || words.length > filters.longest) return null;
    if (filters.text && !texts[place].includes(filters.text)) return null;
    const differ = filters.agreement ? differing(sentences[place], filters.agreement) : null;
    if (differ && !differ.size) return null;
    const chosen = ofRuns.map(([predicted, all]) =>
      all.filter((each) => {
        if (!isChosen(each, gold, predicted, filters)) return false;
        return !differ || each[1].some((span) => differ.has(key(gold[span]))) || each[2].some((span) => differ.has(key(predicted[span])));
      }),
    );
    const number = chosen.reduce((sum, each) => sum + each.length, 0);
    const isClean = state.kinds.has(NO_ERROR) && withoutError[place] && !state.pair && (filters.type === null || gold.some((span) => span[2] === filters.type));
    if (!number && !isClean) return null;
    const confidences = chosen.flat().map((each) => each[3]).filter((each) => each !== undefined);
    return { place, chosen, number, highest: Math.max(-1, ...confidences), lowest: Math.min(2, ...confidences) };
  }

  const ORDERS = {
    file: (one, other) => one.place - other.place,
    confident: (one, other) => other.highest - one.highest || one.place - other.place,
    unsure: (one, other) => one.lowest - other.lowest || one.place - other.place,
    errors: (one, other) => other.number - one.number || one.place - other.place,
    long: (one, other) => sentences[other.place][0].length - sentences[one.place][0].length || one.place - other.place,
  };

  function filter() {
    const filters = wanted();
    state.matches = [];
    for (let place = 0; place < sentences.length; place++) {
      const match = matchesOf(place, filters);
      if (match) state.matches.push(match);
    }
    state.matches.sort(ORDERS[filters.order]);
    state.page = 0;
    show();
  }

  function turn(step) {
    state.page += step;
    show();
    byId("sentences").focus({ preventScroll: true });
    byId("status").scrollIntoView({ block: "start" });
  }

  function show() {
    const start = state.page * PER_PAGE;
    const shown = state.matches.slice(start, start + PER_PAGE);
    const found = state.matches.reduce((sum, match) => sum + match.number, 0);
    const range = shown.length ? `${number.format(start + 1)}–${number.format(start + shown.length)} of ` : "";
    byId("status").textContent = `${range}${count(state.matches.length, "sentence")}, with ${count(found, "match", "matches")}`;
    byId("sentences").replaceChildren(...shown.map(item));
    for (const button of document.querySelectorAll(".previous")) button.disabled = state.page === 0;
    for (const button of document.querySelectorAll(".next")) button.disabled = start + PER_PAGE >= state.matches.length;
    markLines();
  }

  // One sentence.

  function item({ place, chosen }) {
    const [words, gold, ofRuns] = sentences[place];
    const list = make("ul", "errors");
    const listed = ofRuns.flatMap(([predicted, all], run) =>
      all.filter((each) => each[0] !== CORRECT || chosen[run].includes(each)).map((each) => ({ each, run, predicted, isChosen: chosen[run].includes(each) })),
    );
    listed.sort((one, other) => other.isChosen - one.isChosen);
    for (const entry of listed.slice(0, MOST_ERRORS)) list.append(description(words, gold, entry));
    if (listed.length > MOST_ERRORS) list.append(make("li", "faint", `and ${number.format(listed.length - MOST_ERRORS)} more`));
    const meta = make("p", "meta", `sentence ${number.format(place + 1)}, ${count(words.length, "word")}`);
    return make("li", "", meta, drawing(sentences[place], chosen), list);
  }

  function description(words, gold, { each, run, predicted, isChosen }) {
    const [kind, golds, guesses, confidence] = each;
    const line = make("li", isChosen ? "" : "faint");
    if (two) line.append(make("span", "run", letters[run]), " ");
    line.append(make("b", "", kinds[kind]), ": ");
    const phrases = (spans) => spans.flatMap((span, place) => [...(place ? [", "] : []), phrase(words, span)]);
    if (golds.length) line.append(...(guesses.length ? ["gold "] : []), ...phrases(golds.map((span) => gold[span])));
    if (golds.length && guesses.length) line.append(" → predicted ");
    line.append(...phrases(guesses.map((span) => predicted[span])));
    if (confidence !== undefined) line.append(make("span", "score", ` ${confidence.toFixed(2)}`));
    return line;
  }

  function phrase(words, [start, end, type]) {
    let text = words.slice(start, Math.min(end, start + 30)).join(" ");
    if (text.length > 120 || end > start + 30) text = `${text.slice(0, 119)}…`;
    return make("span", "phrase", make("bdi", "", `“${visible(text)}”`), " ", label(type));
  }

  // Characters that nobody sees, and those that change the direction of the text around them, are shown as codes.
  const visible = (text) =>
    text.replace(/[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g, (each) => `[U+${each.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

  /** The rows below the words: one per layer of overlapping spans, at least one per side. */
  function layersOf(spans) {
    const layers = [];
    const byLength = [...spans].sort((one, other) => other[1] - other[0] - (one[1] - one[0]) || one[0] - other[0]);
    for (const span of byLength) {
      const free = layers.find((layer) => layer.every((other) => other[1] <= span[0] || span[1] <= other[0]));
      if (free) free.push(span);
      else layers.push([span]);
    }
    return layers.length ? layers : [[]];
  }

  function drawing([words, gold, ofRuns], chosen) {
    const parts = partsOf(words, gold, ofRuns, chosen);
    const isShown = ([start, end]) => parts.some((part) => start < part.end && part.start < end);
    const wrong = (side) => {
      const places = new Set(ofRuns.flatMap(([, all]) => all.filter(([kind]) => kind !== CORRECT).flatMap((each) => each[1])));
      return side === null ? places : new Set(ofRuns[side][1].filter(([kind]) => kind !== CORRECT).flatMap((each) => each[2]));
    };
    const groups = [
      { name: "gold", spans: gold, places: wrong(null), className: "gold" },
      ...ofRuns.map(([predicted], run) => ({ name: letters[run], spans: predicted, places: wrong(run), className: "guess" })),
    ];
    const rows = groups.flatMap(({ name, spans, places, className }) => {
      const wrongs = new Set(spans.filter((_, place) => places.has(place)));
      return layersOf(spans.filter(isShown)).map((layer, place) => ({ name: place ? "" : name, wrongs, className, bars: barsOf(layer, parts) }));
    });
    const has = groups.some(({ spans }) => spans.length);
    const made = make("div", has ? "sentence" : "sentence bare");
    made.dir = "auto";
    for (const part of parts) {
      if (part.left) made.append(make("div", "gap", `… ${count(part.left, "word")} …`));
      for (let word = part.start; word < part.end; word++) {
        const cell = make("div", "cell", make("bdi", "word", visible(words[word])));
        if (has) cell.append(...rows.map((row) => bar(row, row.bars.get(word), word)));
        made.append(cell);
      }
    }
    return made;
  }

  /** The span of each shown word that is in one. */
  function barsOf(layer, parts) {
    const bars = new Map();
    for (const span of layer) {
      for (const part of parts) {
        for (let word = Math.max(span[0], part.start); word < Math.min(span[1], part.end); word++) bars.set(word, span);
      }
    }
    return bars;
  }

  function bar(row, span, word) {
    const made = make("span", `row ${row.className}`);
    if (row.name) made.dataset.row = row.name;
    if (!span) return made;
    made.classList.add("bar");
    made.style.setProperty("--hue", data.hues[span[2]]);
    if (row.wrongs.has(span)) made.classList.add("wrong");
    if (word === span[0]) {
      made.classList.add("start");
      made.append(make("bdi", "", visible(types[span[2]])));
      if (span[3] !== undefined) made.append(make("i", "", span[3].toFixed(2)));
    }
    if (word === span[1] - 1) made.classList.add("end");
    return made;
  }

  /** The parts of a sentence that are shown: all of it, or what is around its chosen spans. */
  function partsOf(words, gold, ofRuns, chosen) {
    if (words.length <= LONG) return [{ start: 0, end: words.length, left: 0 }];
    const places = ofRuns.flatMap(([predicted], run) =>
      chosen[run].flatMap((each) => [...each[1].map((span) => gold[span]), ...each[2].map((span) => predicted[span])]),
    );
    const ranges = places.map(([start, end]) => [Math.max(0, start - CONTEXT), Math.min(words.length, end + CONTEXT)]);
    if (!ranges.length) ranges.push([0, LONG]);
    ranges.sort((one, other) => one[0] - other[0]);
    const parts = [];
    let last = 0;
    let shown = 0;
    for (const [start, end] of ranges) {
      const from = Math.max(start, last);
      const to = Math.min(end, from + MOST_WORDS - shown);
      if (to <= from) continue;
      parts.push({ start: from, end: to, left: from - last });
      shown += to - from;
      last = to;
    }
    if (last < words.length) parts.push({ start: 0, end: 0, left: words.length - last });
    return parts;
  }

  /** The first word of each line gets the names of the rows. */
  function markLines() {
    const first = [];
    for (const sentence of document.querySelectorAll(".sentence:not(.bare)")) {
      let top = null;
      for (const cell of sentence.children) {
        const own = cell.offsetTop;
        first.push([cell, own !== top]);
        top = own;
      }
    }
    for (const [cell, isFirst] of first) if (isFirst !== cell.classList.contains("first")) cell.classList.toggle("first", isFirst);
  }

  summary();
  kindTable();
  typeTable();
  fields();
  filter();
  let width = byId("sentences").clientWidth;
  new ResizeObserver(() => {
    const now = byId("sentences").clientWidth;
    if (now !== width) markLines();
    width = now;
  }).observe(byId("sentences"));
  document.documentElement.dataset.ready = "true";
})();
