"use strict";
// One view at a time, named by the address behind the #, so that the browser's own back and forward leaf through them.

const views = {
  first: document.querySelector("[data-view]")?.dataset.view,
  title: document.title,
  // Where the reader was in each view of the browser's history, for when "back" leads there again.
  places: new Map(),
  here: null,

  /** Shows the view of the present address. Returns false for an address that names none, such as the skip link's. */
  async show() {
    const [, name, value] = (location.hash || `#${this.first}`).match(/^#([a-z]+)(?:=(.*))?$/) || [];
    const numbers = (value || "").split(",").filter(Boolean).map(Number);
    const section = [...document.querySelectorAll(`[data-view="${CSS.escape(name || "")}"]`)].find(
      (found) => found.dataset.entry === undefined || Number(found.dataset.entry) === numbers[0],
    );
    if (!section) return false;
    if (!(await this.prepare(name, numbers))) return false;
    for (const other of document.querySelectorAll("[data-view]")) other.hidden = other !== section;
    for (const link of document.querySelectorAll(".tabs a")) {
      if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const heading = section.querySelector("h2");
    document.title = name === this.first ? this.title : `${heading.textContent} · ${this.title}`;
    return heading;
  },

  /** Fills the views that are made when they are asked for. Returns false if there is no such thing. */
  async prepare(name, numbers) {
    const known = (ids) => ids.length > 0 && ids.every((id) => Number.isInteger(id) && id >= 0 && id < store.count);
    if (name === "episodes" && store.count) episodeList.choose(numbers[0]);
    if (name === "episode") return known(numbers) && (await showEpisodes(numbers), true);
    if (name === "group") return known(numbers) && (await showGroup(numbers[0]), true);
    if (name !== "compare") return true;
    const pair = numbers.filter((number) => board.data.entries[number]);
    return pair.length === 2 && (board.compare(...pair), true);
  },

  async change() {
    const leaving = { focused: document.activeElement, top: scrollY };
    const heading = await this.show();
    if (!heading) return;
    if (this.here !== null) this.places.set(this.here, leaving);
    const before = this.places.get(this.enter());
    if (before?.focused?.isConnected && before.focused !== document.body) {
      scrollTo(0, before.top);
      before.focused.focus({ preventScroll: true });
    } else {
      scrollTo(0, 0);
      heading.focus({ preventScroll: true });
    }
  },

  /** Numbers the present place of the browser's history, or finds the number that it had. */
  enter() {
    this.here = history.state?.place ?? `${performance.timeOrigin} ${this.places.size}`;
    history.replaceState({ place: this.here }, "");
    return this.here;
  },
};

// At once, so that nothing flickers; what the address asks for comes as soon as the data below is there.
for (const section of document.querySelectorAll("[data-view]")) section.hidden = section.dataset.view !== views.first;

async function start() {
  if (typeof board !== "undefined") await board.start();
  await store.open();
  if (store.count) episodeList.start();
  history.scrollRestoration = "manual";
  if (location.hash) await views.change();
  else if (await views.show()) views.enter();
  addEventListener("hashchange", () => views.change());
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

document.addEventListener("DOMContentLoaded", () =>
  start().catch((error) => {
    byId("main").prepend(
      make(
        "p",
        { class: "bad", role: "alert" },
        `This browser could not unpack the page's data (${error.message}). ` +
          "Current versions of Chrome, Edge, Firefox and Safari can.",
      ),
    );
    throw error;
  }),
);
