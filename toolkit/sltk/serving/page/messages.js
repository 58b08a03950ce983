// The line below the text: what has happened, or what is wrong.

const status = document.getElementById("status");
const problem = document.getElementById("error");

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
