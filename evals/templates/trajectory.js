"use strict";
// Episodes turn by turn: one, several of a task side by side, and the groups of turns that share an anchor.

const LONG = 3000;

/** A text of an episode; of a long one the beginning, the rest on demand. */
function words(text, style = "") {
  const block = make("pre", { class: `words ${style}`, dir: "auto" });
  if (text.length <= LONG) {
    block.textContent = visible(text);
    return block;
  }
  // Not within a pair of surrogates.
  const head = text.slice(0, LONG).replace(/[\ud800-\udbff]$/, "");
  block.textContent = visible(head) + "…";
  const rest = (text.length - head.length).toLocaleString("en");
  const more = make(
    "button",
    {
      type: "button",
      class: "more",
      click: () => {
        block.textContent = visible(text);
        block.tabIndex = -1;
        block.focus();
        more.remove();
      },
    },
    `Show the other ${rest} characters`,
  );
  return make("div", {}, block, more);
}

function number(value) {
  if (value === null || value === undefined) return "–";
  return (Math.round(value * 1000) / 1000).toLocaleString("en", { maximumFractionDigits: 3 });
}

function signed(value) {
  const text = Math.abs(value).toFixed(2);
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${text}`;
}

function advantageMark(value, word = "advantage ") {
  if (value === null) return null;
  const style = value > 0 ? "good" : value < 0 ? "bad" : "quiet";
  return make("span", { class: `advantage ${style}` }, `${word}${signed(value)}`);
}

function outcome(facts) {
  return make(
    "span",
    { class: `badge ${facts.won ? "good" : "bad"}` },
    facts.won ? "won" : `not won: ${facts.stop.replace("_", " ")}`,
  );
}

function circumstances(facts) {
  const training = facts.purpose === "training";
  return [
    facts.purpose + (training ? `, iteration ${facts.iteration + 1}, member ${facts.member + 1}` : ""),
    facts.temperature === null ? null : facts.temperature === 0 ? "greedy" : `temperature ${facts.temperature}`,
    `seed ${facts.seed}`,
  ]
    .filter(Boolean)
    .join(", ");
}

/** What a later turn saw: the text that the turn before got, which stands right above, so folded until it is asked for. */
function seenAgain(turn, index) {
  const details = make("details", { class: "again" }, make("summary", {}, `saw what turn ${index} got`));
  details.addEventListener("toggle", () => details.append(words(turn.saw)), { once: true });
  return details;
}

function turnItem(turn, index, next, differs) {
  return make(
    "li",
    { class: differs ? "turn differs" : "turn", tabindex: differs ? "-1" : null },
    make(
      "h4",
      {},
      `Turn ${index + 1}`,
      turn.reward ? make("span", { class: "badge good" }, `reward ${number(turn.reward)}`) : null,
      turn.valid ? null : make("span", { class: "badge bad" }, "invalid action"),
      advantageMark(turn.advantage),
      turn.tokens === null ? null : make("span", { class: "note" }, `${turn.tokens} tokens`),
    ),
    index === 0 ? [make("span", { class: "label" }, "saw"), words(turn.saw)] : seenAgain(turn, index),
    make("span", { class: "label" }, "said"),
    words(turn.said, "said"),
    turn.action === turn.said
      ? null
      : [make("span", { class: "label" }, "taken as the action"), words(turn.action, "said")],
    next === null ? null : [make("span", { class: "label" }, "got"), words(next)],
  );
}

function episodeArticle(episode, differing) {
  const last = episode.turns.length - 1;
  const got = (index) => (index === last ? episode.final : episode.turns[index + 1].saw);
  return make(
    "article",
    { class: "episode", "aria-label": `Episode of ${episode.source}` },
    make("h3", {}, make("bdi", {}, episode.source), " ", outcome(episode)),
    make(
      "p",
      { class: "note" },
      `${circumstances(episode)}, ${episode.turns.length} turns`,
      episode.seconds === null ? "" : `, ${number(episode.seconds)} s`,
    ),
    episode.error ? [make("p", { class: "bad" }, "The environment broke it:"), words(episode.error)] : null,
    make(
      "ol",
      { class: "turns" },
      episode.turns.map((turn, index) => turnItem(turn, index, got(index), index === differing)),
    ),
  );
}

/** The first turn in which not all episodes take the same action; -1 if they agree as far as the shortest goes. */
function firstDifference(episodes) {
  if (episodes.length < 2) return -1;
  const shared = Math.min(...episodes.map((episode) => episode.turns.length));
  for (let turn = 0; turn < shared; turn++) {
    if (new Set(episodes.map((episode) => episode.turns[turn].action)).size > 1) return turn;
  }
  return episodes.every((episode) => episode.turns.length === shared) ? -1 : shared;
}

/** Buttons that lead to a turn of each of some episodes, which a phone shows one under the other. */
function waysTo(turn, episodes, articles) {
  return articles.map((article, index) => {
    const marked = article.querySelector(".differs");
    if (!marked) return null;
    const go = () => {
      marked.scrollIntoView({ block: "start" });
      marked.focus({ preventScroll: true });
    };
    return make("button", { type: "button", class: "more", click: go }, `Turn ${turn + 1} of ${episodes[index].source}`);
  });
}

/** Of each source the episode of a task that is most like a given one: purpose, iteration, member, temperature. */
function counterparts(facts) {
  const best = new Map();
  const likeness = (other) =>
    8 * (other.purpose === facts.purpose) +
    4 * (other.iteration === facts.iteration) +
    2 * (other.seed === facts.seed) +
    (other.member === facts.member) +
    0.5 * (other.temperature === facts.temperature);
  for (const other of sameTask(facts)) {
    const known = best.get(other.sourceNumber);
    if (!known || likeness(other) > likeness(known)) best.set(other.sourceNumber, other);
  }
  best.set(facts.sourceNumber, facts);
  return [...best.values()].sort((a, b) => a.sourceNumber - b.sourceNumber);
}

function sameTask(facts) {
  return store.where((columns, id) => columns.task[id] === facts.taskNumber).map((id) => store.facts(id));
}

/** The table of all episodes of a task, with links that open one or put it beside those shown. */
function othersTable(facts, shown) {
  const rows = sameTask(facts).map((other) => {
    const open = shown.includes(other.id);
    const ids = open ? shown.filter((id) => id !== other.id) : [...shown, other.id];
    const toggle = make(
      "a",
      {
        href: `#episode=${ids}`,
        "aria-label": `${open ? "take away" : "put beside"}: ${other.source}, ${circumstances(other)}`,
      },
      open ? "take away" : "put beside",
    );
    const name =
      open && shown.length === 1
        ? make("strong", {}, make("bdi", {}, other.source))
        : make("a", { href: `#episode=${other.id}` }, make("bdi", {}, other.source));
    return [name, circumstances(other), outcome(other), other.turns, open && shown.length === 1 ? "shown" : toggle];
  });
  return makeTable("others", "Episodes of this task", ["Policy", "Played for", "Outcome", "Turns", "Beside"], rows);
}

async function showEpisodes(ids) {
  const content = byId("episode-content");
  const episodes = await Promise.all(ids.map((id) => store.episode(id)));
  const first = store.facts(ids[0]);
  const differing = firstDifference(episodes);
  const together = counterparts(first).map((other) => other.id);
  const articles = episodes.map((episode) => episodeArticle(episode, differing));
  fill(byId("episode-title"), make("bdi", {}, first.goal));
  fill(
    content,
    make("p", { class: "note" }, "Task ", make("bdi", {}, first.task), first.kind ? `, ${first.kind}` : ""),
    make(
      "p",
      { class: "links" },
      together.length > 1 && String(ids) !== String(together)
        ? make("a", { href: `#episode=${together}`, id: "all-beside" }, "All policies side by side")
        : null,
      " ",
      first.purpose === "training"
        ? make("a", { href: `#group=${first.id}`, id: "to-group" }, "Its group by anchors")
        : null,
    ),
    episodes.length > 1
      ? make(
          "p",
          { id: "difference" },
          differing < 0
            ? "They take the same actions."
            : [`Their actions first differ in turn ${differing + 1}. `, waysTo(differing, episodes, articles)],
        )
      : null,
    make(
      "div",
      { class: "beside" },
      articles,
    ),
    make("h3", {}, "The same task"),
    othersTable(first, ids),
  );
}

/** The turns of a group by anchor: those that several episodes reached come first, the largest before. */
function anchorGroups(episodes) {
  const groups = new Map();
  for (const episode of episodes) {
    episode.turns.forEach((turn, index) => {
      if (turn.anchor === null) return;
      if (!groups.has(turn.anchor)) groups.set(turn.anchor, []);
      groups.get(turn.anchor).push({ episode, turn, index });
    });
  }
  const reached = (turns) => new Set(turns.map((found) => found.episode.id)).size;
  return [...groups]
    .map(([anchor, turns]) => ({ anchor, turns, reached: reached(turns) }))
    .sort((a, b) => b.reached - a.reached || b.turns.length - a.turns.length);
}

function anchorSection(group, number) {
  const rows = group.turns.map(({ episode, turn, index }) => [
    make("a", { href: `#episode=${episode.id}` }, `member ${episode.member + 1}`),
    `turn ${index + 1}`,
    turn.action,
    turn.advantage === null ? "–" : advantageMark(turn.advantage, ""),
    outcome(episode),
  ]);
  return make(
    "section",
    { class: "anchor" },
    make("h3", {}, `Anchor ${number + 1}: ${group.turns.length} turns of ${group.reached} episodes`),
    words(group.anchor),
    makeTable("", `Turns at anchor ${number + 1}`, ["Episode", "Turn", "Action", "Advantage", "Outcome"], rows),
  );
}

async function showGroup(id) {
  const facts = store.facts(id);
  const { task, source, iteration, purpose } = store.index.columns;
  const ids = store.where((_, other) =>
    [task, source, iteration, purpose].every((column) => column[other] === column[id]),
  );
  const episodes = await Promise.all(ids.map((other) => store.episode(other)));
  const groups = anchorGroups(episodes);
  const shared = groups.filter((group) => group.turns.length > 1);
  fill(byId("group-title"), "Anchor groups: ", make("bdi", {}, facts.goal));
  fill(
    byId("group-content"),
    make(
      "p",
      { class: "note" },
      make("bdi", {}, facts.source),
      `, iteration ${facts.iteration + 1}: ${episodes.length} episodes of one task, `,
      `${episodes.filter((episode) => episode.won).length} won`,
    ),
    make(
      "p",
      {},
      groups.length
        ? `Actions with their advantages. The turns stand at ${groups.length} anchors, at ${shared.length} of them several, ` +
            "which stand below, each with its turns."
        : "These episodes were kept without anchors, by an older version.",
    ),
    make(
      "div",
      { class: "members" },
      episodes.map((episode) =>
        make(
          "div",
          {},
          make(
            "h3",
            {},
            make("a", { href: `#episode=${episode.id}` }, `Member ${episode.member + 1}`),
            " ",
            outcome(episode),
          ),
          make(
            "ol",
            {},
            episode.turns.map((turn) =>
              make("li", {}, make("bdi", {}, turn.action), " ", advantageMark(turn.advantage, "")),
            ),
          ),
        ),
      ),
    ),
    shared.map(anchorSection),
  );
}
