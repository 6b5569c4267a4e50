"use strict";
// The list of all episodes: filters, and pages of rows.

const PAGE_ROWS = 50;

/** Buttons that leaf through rows; `show` gets the first row and the one behind the last. */
function pager(place, count, size, show) {
  const pages = Math.max(1, Math.ceil(count / size));
  let page = 0;
  const turn = (step) => {
    page = Math.min(Math.max(page + step, 0), pages - 1);
    draw();
    announce(`page ${page + 1} of ${pages}`);
  };
  const back = make("button", { type: "button", click: () => turn(-1) }, "Previous");
  const on = make("button", { type: "button", click: () => turn(1) }, "Next");
  const where = make("span", {});
  const draw = () => {
    back.disabled = page === 0;
    on.disabled = page === pages - 1;
    where.textContent = `page ${page + 1} of ${pages}`;
    show(page * size, Math.min((page + 1) * size, count));
  };
  fill(place, back, where, on);
  place.hidden = pages === 1;
  draw();
}

/** A whole number with its thousands apart. */
function count(number) {
  return number.toLocaleString("en");
}

const episodeList = {
  found: [],
  // Whether a link, rather than the reader, chose the policy.
  led: false,

  start() {
    const form = byId("episode-filters");
    const { sources, purposes, kinds } = store.index;
    const used = new Set(store.index.columns.source);
    this.offer(form.elements.source, sources, (number) => used.has(number));
    this.offer(form.elements.purpose, purposes);
    this.offer(form.elements.kind, kinds);
    // Searched as it is typed; small letters once, not at every key.
    this.haystack = store.index.tasks.map(([task, , goal]) => `${task}\n${goal}`.toLowerCase());
    form.addEventListener("submit", (event) => event.preventDefault());
    form.elements.source.addEventListener("input", () => (this.led = false));
    form.addEventListener("input", () => this.refresh());
    this.refresh();
  },

  offer(select, names, wanted = () => true) {
    names.forEach((name, number) => {
      if (wanted(number)) select.append(make("option", { value: number }, name || "(no name)"));
    });
    select.closest("label").hidden = select.options.length < 3;
  },

  /** Shows the episodes of one source; of all if `source` is undefined and a link had chosen one. */
  choose(source) {
    const form = byId("episode-filters");
    const wanted = source === undefined ? "" : String(source);
    // "Back" from an episode finds the list, its filters and its page as they were left.
    if (form.elements.source.value === wanted || (source === undefined && !this.led)) return;
    form.reset();
    form.elements.source.value = wanted;
    this.led = source !== undefined;
    this.refresh();
  },

  refresh() {
    const { source, purpose, kind, won, text } = byId("episode-filters").elements;
    const wanted = text.value.trim().toLowerCase();
    const is = (select, value) => select.value === "" || Number(select.value) === value;
    const tasks = store.index.tasks;
    this.found = store.where(
      (columns, id) =>
        is(source, columns.source[id]) &&
        is(purpose, columns.purpose[id]) &&
        is(won, columns.won[id]) &&
        is(kind, tasks[columns.task[id]][1]) &&
        (!wanted || this.haystack[columns.task[id]].includes(wanted)),
    );
    const { won: outcomes } = store.index.columns;
    const wins = this.found.reduce((sum, id) => sum + outcomes[id], 0);
    byId("episode-count").textContent =
      `${count(this.found.length)} of ${count(store.count)} episodes, ${count(wins)} won`;
    pager(byId("episode-pager"), this.found.length, PAGE_ROWS, (from, to) => this.draw(from, to));
  },

  draw(from, to) {
    const rows = this.found.slice(from, to).map((id) => {
      const facts = store.facts(id);
      const training = facts.purpose === "training" ? `training, iteration ${facts.iteration + 1}` : facts.purpose;
      return make(
        "tr",
        {},
        make(
          "th",
          { scope: "row" },
          make("a", { href: `#episode=${id}` }, make("bdi", {}, facts.goal)),
          facts.goal === facts.task ? null : make("small", {}, make("bdi", {}, facts.task)),
        ),
        make("td", {}, make("bdi", {}, facts.source)),
        make("td", {}, outcome(facts)),
        make("td", {}, facts.turns),
        make("td", {}, training),
        make("td", {}, number(facts.temperature)),
        make("td", {}, facts.kind),
      );
    });
    byId("episode-table").tBodies[0].replaceChildren(...rows);
  },
};
