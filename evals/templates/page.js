"use strict";
// What all pages share: text that shows as text, elements, copying, and a voice for screen readers.

// As in evals/site/pages.py. Joiners (U+200C, U+200D) stay: Persian and emoji need them.
const UNSEEN = new RegExp(
  "[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b" +
    "\\u200e\\u200f\\u2028-\\u202e" +
    "\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\ud800-\\udfff\\u{e0000}-\\u{e007f}]|\\r(?!\\n)",
  "gu",
);

/** Writes characters that cannot be seen as their numbers, U+202E as "[U+202E]". */
function visible(text) {
  return text.replace(UNSEEN, (found) => `[U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);
}

/** Makes an element. Children are elements or text, which never becomes markup; `false` and null are left out. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, visible(String(value)));
  }
  return fill(element, ...children);
}

/** Puts children into an element in place of what it holds; see `make`. */
function fill(element, ...children) {
  const shown = children.flat(2).filter((child) => child !== false && child != null);
  element.replaceChildren(...shown.map((child) => (child instanceof Node ? child : visible(String(child)))));
  return element;
}

/** A table with headings; the first cell of a row names it. Rows are lists of texts, elements or null, or made rows. */
function makeTable(style, caption, columns, rows) {
  const cell = (content, index) => make(index ? "td" : "th", index ? {} : { scope: "row" }, content);
  const line = (row) => (row instanceof Node ? row : make("tr", {}, row.map(cell)));
  return make(
    "div",
    { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" },
    make(
      "table",
      { class: style },
      make("caption", { class: "unseen" }, caption),
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          columns.map((name) => (name ? make("th", { scope: "col" }, name) : make("td"))),
        ),
      ),
      make("tbody", {}, rows.map(line)),
    ),
  );
}

/** Tells screen readers what happened. */
function announce(text) {
  document.getElementById("announcer").textContent = visible(text);
}

function byId(id) {
  return document.getElementById(id);
}

// The address stays what it is: it names a view, to which "back" leads.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});

async function copyText(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    // A page opened from a file may have no clipboard: select the text, and copy in the old way.
    const selection = getSelection();
    selection.selectAllChildren(element);
    return document.execCommand("copy");
  }
}

for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const done = await copyText(byId(button.dataset.copies));
    button.textContent = done ? "Copied" : "Selected: press Ctrl+C";
    announce(button.textContent);
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

// Pages with several views say so themselves, once their data is unpacked.
if (!document.querySelector("[data-view]"))
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
