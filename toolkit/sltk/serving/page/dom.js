// Elements of the page.

/** The element with this id. */
export function element(id) {
  return document.getElementById(id);
}

/** A new element. Strings become text, whatever is in them: no module of this page parses markup. */
export function make(tag, ...content) {
  const made = document.createElement(tag);
  made.append(...content);
  return made;
}
