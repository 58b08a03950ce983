// The clipboard.

import { make } from "./dom.js";

/** Copy a text. Browsers have no `navigator.clipboard` on pages from another machine without HTTPS. */
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = make("textarea", text);
  document.body.append(field);
  const focused = document.activeElement;
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  focused.focus();
  if (!isCopied) throw new Error("The browser does not let this page copy");
}
