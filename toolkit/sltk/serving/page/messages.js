// The line below the text: what has happened, or what is wrong.

import { element } from "./dom.js";

const status = element("status");
const problem = element("error");

/** State what has happened. */
export function say(message) {
  status.textContent = message;
  problem.hidden = true;
}

/** State what is wrong; screen readers interrupt for it. */
export function complain(message) {
  say("");
  problem.hidden = false;
  problem.textContent = message;
}
