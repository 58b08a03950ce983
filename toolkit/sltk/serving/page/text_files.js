// Text that is dropped on the page, or in a file.

import { element } from "./dom.js";

const LARGEST = 10e6; // bytes

/** Call `onText` with the text of each file that is dropped or chosen, `onError` with what is wrong with it. */
export function takeFiles(onText, onError) {
  const take = (file) => read(file).then(onText, onError);
  const input = element("file");
  element("open").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  });
  takeDrops(take, onText);
}

function takeDrops(takeFile, onText) {
  const cover = element("drop");
  addEventListener("dragover", (event) => {
    if (!isOurs(event)) return;
    event.preventDefault();
    cover.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) cover.hidden = true; // the pointer has left the window
  });
  addEventListener("dragend", () => (cover.hidden = true));
  addEventListener("drop", (event) => {
    cover.hidden = true;
    if (!isOurs(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) takeFile(file);
    else onText(event.dataTransfer.getData("text/plain"));
  });
}

/** Whether an event drags a file or text; the browser itself inserts text into the text field. */
function isOurs({ dataTransfer, target }) {
  const { types } = dataTransfer;
  return types.includes("Files") || (types.includes("text/plain") && target.id !== "text");
}

async function read(file) {
  if (file.size > LARGEST) {
    throw new Error(`${file.name} has ${megabytes(file.size)}; the limit is ${megabytes(LARGEST)}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch (error) {
    const isFolder = !(error instanceof TypeError);
    throw new Error(isFolder ? `${file.name} cannot be read` : `${file.name} is not a text file in UTF-8`);
  }
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
