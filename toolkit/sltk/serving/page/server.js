// Requests to the server of this page.

/** An answer other than success. `status` is that of HTTP, or 0 if there was no answer. */
class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Ask for a path, with `body` sent as JSON, and return the JSON of the answer. */
export async function ask(path, { body, token, signal } = {}) {
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  const options = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal };
  const answer = await fetch(path, options).catch(noAnswer);
  const text = await answer.text().catch(noAnswer);
  if (!answer.ok) throw new ServerError(answer.status, problemIn(answer, text));
  return JSON.parse(text);
}

function noAnswer(error) {
  if (error.name === "AbortError") throw error;
  throw new ServerError(0, "The server does not answer. Is it still running?");
}

/** What is wrong, in the words of the server. */
function problemIn({ status }, text) {
  try {
    return `${JSON.parse(text).error.message} (HTTP ${status})`;
  } catch {
    return `The server answered with HTTP status ${status}`;
  }
}
