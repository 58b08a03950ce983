// The page: sends text to the server, and shows the spans of the answer.

import { copy } from "./clipboard.js";
import { element } from "./dom.js";
import { toConll, toJson } from "./formats.js";
import { complain, say } from "./messages.js";
import { describe } from "./model.js";
import { offerThresholds, show, shownRecord } from "./result.js";
import { ask } from "./server.js";
import { takeFiles } from "./text_files.js";

const EXAMPLE =
  "We met Ana Horvat at Lipa in Zagreb on Friday.\n" +
  "The lamb stew was superb, but the wine list turned out ordinary, and the service was hopeless.";
const text = element("text");

let info = null; // what the server says of its model
let token = ""; // in no other place
let running = null; // the AbortController of the request that is running

async function getInfo(signal) {
  info = await ask("info", { token, signal });
  describe(info);
  offerThresholds(info.thresholds);
}

async function submit() {
  if (running) return;
  if (!text.value.trim()) {
    say("Type or paste some text first.");
    text.focus();
    return;
  }
  running = new AbortController();
  setBusy(true);
  try {
    await label(running.signal);
  } catch (error) {
    report(error);
  } finally {
    running = null;
    setBusy(false);
  }
}

async function label(signal) {
  const start = performance.now();
  if (!info) await getInfo(signal);
  const body = { text: text.value.toWellFormed(), thresholds: "none" };
  const [record] = (await ask("predict", { body, token, signal })).predictions;
  show(record, info);
  const seconds = (performance.now() - start) / 1000;
  const words = record.words.length;
  say(`${words.toLocaleString("en")} word${words === 1 ? "" : "s"} in ${seconds.toFixed(2)} s`);
}

function setBusy(isBusy) {
  element("submit").ariaDisabled = isBusy;
  element("result").ariaBusy = isBusy;
  if (isBusy) say("Labelling…");
  if (!isBusy && document.activeElement === element("cancel")) element("submit").focus();
  element("cancel").hidden = !isBusy;
}

function report(error) {
  if (error.name === "AbortError") return say("Cancelled");
  complain(error.message);
  if (error.status === 401) {
    element("access").hidden = false;
    element("token").focus();
  }
}

function labelText(newText) {
  if (running) return say("Cancel the running request first.");
  text.value = newText;
  submit();
}

async function useToken(event) {
  event.preventDefault();
  token = element("token").value.trim();
  if (/[^\x21-\x7e]/.test(token)) return complain("A token has only ASCII characters, and no spaces.");
  try {
    await getInfo();
    element("access").hidden = true;
    say("The server accepts the token.");
    if (text.value.trim()) submit();
  } catch (error) {
    report(error);
  }
}

async function copyAs(format, name) {
  const record = shownRecord();
  await copy(format(record)).then(() => say(`Copied as ${name}`), report);
}

element("submit").addEventListener("click", submit);
element("cancel").addEventListener("click", () => running?.abort());
element("example").addEventListener("click", () => labelText(EXAMPLE));
element("access").addEventListener("submit", useToken);
element("copy-json").addEventListener("click", () => copyAs(toJson, "JSON"));
element("copy-conll").addEventListener("click", () => copyAs(toConll, "CoNLL"));
addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
  if (event.key === "Escape") running?.abort();
});
takeFiles(labelText, report);
getInfo().catch(report);
