"use strict";
// The episodes in the page: an index of all, and parts of their turns that are unpacked when one is opened.

/** Reads a packed script element; null if the page has none of that name. */
async function unpack(id) {
  const element = byId(id);
  if (!element) return null;
  const bytes = Uint8Array.from(atob(element.textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

const store = {
  index: null,
  count: 0,
  parts: new Map(),
  kept: 8,

  async open() {
    this.index = await unpack("episode-index");
    this.count = this.index ? this.index.columns.task.length : 0;
  },

  /** What the index knows of an episode. */
  facts(id) {
    const { columns, sources, purposes, temperatures, stops, kinds, tasks } = this.index;
    const [task, kind, goal] = tasks[columns.task[id]];
    return {
      id,
      source: sources[columns.source[id]],
      sourceNumber: columns.source[id],
      purpose: purposes[columns.purpose[id]],
      temperature: temperatures[columns.temperature[id]],
      task,
      taskNumber: columns.task[id],
      kind: kinds[kind],
      goal: goal || task,
      seed: columns.seed[id],
      iteration: columns.iteration[id],
      member: columns.member[id],
      won: Boolean(columns.won[id]),
      stop: stops[columns.stop[id]],
      turns: columns.turns[id],
    };
  },

  /** An episode with its turns. */
  async episode(id) {
    const { part, place } = this.index.columns;
    const [final, error, seconds, turns] = (await this.part(part[id]))[place[id]];
    return { ...this.facts(id), final, error, seconds, turns: turns.map(readTurn) };
  },

  part(number) {
    const known = this.parts.get(number) || unpack(`episode-part-${number}`);
    // Put last, so that the first is the one not asked for longest.
    this.parts.delete(number);
    this.parts.set(number, known);
    if (this.parts.size > this.kept) this.parts.delete(this.parts.keys().next().value);
    return known;
  },

  /** The episodes for which a test of the index's columns holds. */
  where(holds) {
    const found = [];
    for (let id = 0; id < this.count; id++) if (holds(this.index.columns, id)) found.push(id);
    return found;
  },
};

function readTurn([saw, said, action, valid, reward, advantage, anchor, tokens]) {
  return {
    saw,
    said,
    action: action === null ? said : action,
    valid: Boolean(valid),
    reward,
    advantage,
    anchor: anchor === true ? saw : anchor,
    tokens,
  };
}
