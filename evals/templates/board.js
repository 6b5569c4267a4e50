"use strict";
// The ranking: sorting, filtering, and two entries side by side.

const TASK_ROWS = 100;

const board = {
  data: null,
  chosen: [],
  link: null,

  async start() {
    this.data = await unpack("board-data");
    for (const header of document.querySelectorAll("th[data-sorts]")) this.makeSortable(header);
    const form = byId("board-filters");
    if (!form) return;
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => this.filter());
    this.filter();
    for (const box of document.querySelectorAll("input.choose")) {
      box.hidden = false;
      box.checked = false;
      box.addEventListener("change", () => this.choose(box));
    }
    this.link = make("a", { id: "compare-here", class: "unseen" });
    byId("compare-go").addEventListener("click", () => (location.hash = `compare=${this.chosen}`));
    byId("compare-clear").addEventListener("click", () => this.clear());
  },

  makeSortable(header) {
    const title = header.textContent;
    header.replaceChildren(make("button", { type: "button", click: () => this.sort(header) }, title));
  },

  /** Sorts a table by a column, in its best direction first, at a second click in the other. */
  sort(header) {
    const opposite = { ascending: "descending", descending: "ascending" };
    const now = header.getAttribute("aria-sort");
    const direction = now ? opposite[now] : header.dataset.best;
    for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
    const column = Number(header.dataset.sorts) + 1;
    const sign = direction === "ascending" ? 1 : -1;
    const body = header.closest("table").tBodies[0];
    const value = (row) => row.cells[column].dataset.value;
    const rows = [...body.rows].sort((a, b) => compareValues(value(a), value(b), sign));
    body.append(...rows);
    announce(`sorted by ${header.textContent}, ${direction}`);
  },

  filter() {
    const { panel, kind, text } = byId("board-filters").elements;
    const wanted = this.searched(text.value);
    let shown = 0;
    let all = 0;
    for (const section of document.querySelectorAll("section.panel")) {
      const here = panel.value === "" || panel.value === section.dataset.panel;
      let some = false;
      for (const row of section.querySelectorAll("tbody tr")) {
        const fits =
          here &&
          (kind.value === "" || row.dataset.kind === kind.value) &&
          wanted.every((word) => row.dataset.words.includes(word));
        row.hidden = !fits;
        some ||= fits;
        shown += fits;
        all += 1;
      }
      section.hidden = !some;
    }
    byId("board-count").textContent = shown
      ? `${shown} of ${all} entries`
      : `None of ${all} entries fits. Loosen the filters.`;
  },

  /** What an entry must say to be found: the phrase as it stands, such as "layer 3"; all its words where none says it. */
  searched(text) {
    const words = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const phrase = words.join(" ");
    const rows = [...document.querySelectorAll("section.panel tbody tr")];
    return rows.some((row) => row.dataset.words.includes(phrase)) ? [phrase] : words;
  },

  choose(box) {
    const number = Number(box.value);
    this.chosen = box.checked ? [...this.chosen, number] : this.chosen.filter((other) => other !== number);
    const names = this.chosen.map((other) => this.data.entries[other].name);
    const panels = new Set(this.chosen.map((other) => this.data.entries[other].panel));
    const ready = names.length === 2 && panels.size === 1;
    byId("compare-bar").hidden = names.length === 0;
    byId("compare-go").disabled = !ready;
    const missing =
      names.length < 2
        ? "choose one more of this panel"
        : names.length > 2
          ? "choose two"
          : panels.size > 1
            ? "choose two of one panel"
            : "";
    byId("compare-hint").textContent = visible(names.join(" and ") + (missing ? `: ${missing}` : ""));
    announce(byId("compare-hint").textContent + (ready ? ". Compare comes next." : ""));
    // The bar stands behind all tables: from the keyboard this link is next, as a skip link, seen while it has the focus.
    if (ready) {
      fill(this.link, "Compare ", make("span", { class: "unseen" }, names.join(" and ")));
      this.link.href = `#compare=${this.chosen}`;
      box.after(this.link);
    } else this.link.remove();
  },

  clear() {
    for (const box of document.querySelectorAll("input.choose")) box.checked = false;
    this.chosen = [];
    this.link.remove();
    byId("compare-bar").hidden = true;
    byId("board-title").focus();
  },

  /** Two entries side by side: what they are, and task by task. */
  compare(first, second) {
    const [low, high] = [first, second].sort((a, b) => a - b);
    const [a, b] = [this.data.entries[low], this.data.entries[high]];
    const names = [a.name, b.name];
    const known = ([, one, other]) => ![one, other].every((value) => value === "–" || value === "");
    const facts = a.facts.map(([name, value], index) => [name, value, b.facts[index][1]]);
    const kinds = kindRows(a, b);
    fill(byId("compare-title"), make("bdi", {}, a.name), " and ", make("bdi", {}, b.name));
    const tasks = make("div", {});
    fill(
      byId("compare-content"),
      make(
        "p",
        { id: "verdict" },
        make("bdi", {}, a.name),
        " minus ",
        make("bdi", {}, b.name),
        ": ",
        this.data.pairs[`${low},${high}`] || "they have no tasks in common.",
      ),
      makeTable("comparison", "Side by side", ["", ...names], facts.filter(known)),
      kinds.length
        ? [make("h3", {}, "By kind of task"), makeTable("comparison", "By kind of task", ["Kind", ...names], kinds)]
        : "",
      make("h3", {}, "Task by task"),
      tasks,
    );
    this.compareTasks(tasks, low, high);
  },

  compareTasks(place, low, high) {
    const [a, b] = [this.data.entries[low], this.data.entries[high]];
    if (!a.outcomes.length || a.outcomes.length !== b.outcomes.length) {
      fill(place, make("p", {}, "Outcomes by task are not known for both."));
      return;
    }
    const share = (entry, task) => entry.outcomes[task] / entry.plays;
    const groups = [
      ["all tasks", () => true],
      [`${a.name} better`, (task) => share(a, task) > share(b, task)],
      [`${b.name} better`, (task) => share(a, task) < share(b, task)],
      ["both the same, won", (task) => share(a, task) === share(b, task) && a.outcomes[task] > 0],
      ["neither", (task) => a.outcomes[task] === 0 && b.outcomes[task] === 0],
    ].map(([title, holds]) => [title, [...a.outcomes.keys()].filter(holds)]);
    const rows = make("div", {});
    const leafing = make("nav", { class: "pager", "aria-label": "Pages of tasks" });
    const buttons = groups.map(([title, tasks], index) =>
      make(
        "button",
        { type: "button", "aria-pressed": index === 0 ? "true" : "false", click: () => show(index) },
        `${title}: ${tasks.length}`,
      ),
    );
    const show = (chosen) => {
      buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(index === chosen)));
      const tasks = groups[chosen][1];
      pager(leafing, tasks.length, TASK_ROWS, (from, to) =>
        fill(rows, this.taskTable(low, high, tasks.slice(from, to))),
      );
    };
    fill(
      place,
      make("div", { class: "tallies", role: "group", "aria-label": "Tasks by outcome" }, buttons),
      rows,
      leafing,
    );
    show(0);
  },

  taskTable(low, high, tasks) {
    const [a, b] = [this.data.entries[low], this.data.entries[high]];
    const names = this.data.panels[a.panel].tasks;
    const known = names ? episodesByTask([low, high]) : new Map();
    const several = Math.max(a.plays, b.plays) > 1 ? ", first seed" : "";
    const result = (entry, task) => {
      const wins = entry.outcomes[task];
      const words = entry.plays > 1 ? `${wins} of ${entry.plays}` : wins ? "won" : "not won";
      return make("span", { class: `badge ${wins ? "good" : "bad"}` }, words);
    };
    const rows = tasks.map((task) => {
      const ids = (names && known.get(names[task])) || [];
      const label = names ? names[task] : `task ${task + 1}`;
      const link =
        ids.length === 2
          ? make("a", { href: `#episode=${ids}`, "aria-label": `read both episodes of ${label}` }, `read both${several}`)
          : ids.length === 1
            ? make("a", { href: `#episode=${ids}`, "aria-label": `read the episode of ${label}` }, `read one${several}`)
            : "";
      return [make("bdi", {}, label), result(a, task), result(b, task), link];
    });
    return makeTable("by-task", "Tasks", ["Task", a.name, b.name, "Episodes"], rows);
  },
};

/** Numbers by size, other values by their letters; what is empty comes last either way. */
function compareValues(a, b, sign) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [Number(a), Number(b)];
  return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y);
}

function kindRows(a, b) {
  const other = new Map(b.kinds.map(([name, success, interval]) => [name, `${success} (${interval})`]));
  return a.kinds.map(([name, success, interval]) => [name, `${success} (${interval})`, other.get(name) || "–"]);
}

/** One episode a task of each of some sources, by the task's name; the first seed's. */
function episodesByTask(sources) {
  const found = new Map();
  if (!store.count) return found;
  for (const source of sources) {
    const ids = store.where((columns, id) => columns.source[id] === source);
    const seen = new Set();
    for (const id of ids) {
      const task = store.facts(id).task;
      if (seen.has(task)) continue;
      seen.add(task);
      found.set(task, [...(found.get(task) || []), id]);
    }
  }
  return found;
}
