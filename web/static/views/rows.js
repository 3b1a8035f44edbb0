// Rows of recordings, as Live and Results show them: one is the current one, and can be heard.

import { html, useEffect, useState } from "../lib/preact-htm.js";
import { go } from "../core/address.js";
import { ago, moment, sure } from "../core/format.js";
import { Link, Name, tell } from "../core/widgets.js";

const LONGEST_S = 60; // of what Space plays

// {one, move, set, actions}: the current row by its id, so that it stays the same while rows come.
export function useCurrent(items, initial = null) {
  const [id, setId] = useState(initial);
  const at = items.findIndex((one) => one.id === id);
  const one = items[at];
  useEffect(() => {
    document.querySelector("tr[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
    const timer = one?.digest && setTimeout(() => prefetch(one), 150);
    return () => clearTimeout(timer);
  }, [id]);
  const move = (step) => {
    const next = items[Math.max(0, Math.min(items.length - 1, at < 0 ? 0 : at + step))];
    if (next) setId(next.id);
  };
  return { one, at, move, set: setId };
}

let sound; // loaded when it is needed first
const load = () => (sound ??= import("../sound/sound.js"));
let playing = null;
const played = new Set();

// Plays a recording from its beginning, or stops it.
export async function play(one) {
  if (!one?.digest) return;
  const { player } = await load();
  if (playing === one.id) {
    player.toggle();
  } else {
    playing = one.id;
    played.add(one.id);
    await player.play(one.digest, 0, end(one));
  }
}

export const wasPlayed = (one) => played.has(one.id);
const end = (one) => Math.min(one.duration_s ?? LONGEST_S, LONGEST_S);
const prefetch = async (one) => sound && (await sound).prefetch?.(one.digest, 0, Math.min(end(one), 10));

export const open = (one) => one && go("recording", one.id);

export const COLUMNS = {
  time: { name: "time", cell: (one) => html`<time>${moment(one.classified_at)}</time>` },
  began: { name: "recorded", cell: (one) => moment(one.recorded_at) },
  since: { name: "when", cell: (one) => (one.classified_at ? ago(one.classified_at) : "") },
  path: { name: "path", wide: true, cell: (one) => html`<${Link} view="recording" part=${one.id}><${Name} title=${one.path}>${one.path}<//><//>` },
  answer: { name: "label", cell: answer },
  confidence: { name: "confidence", number: true, cell: (one) => (one.status === "done" ? sure(one.confidence) : "") },
  human: { name: "human label", cell: (one) => one.human_label && html`<span class="human">✓ <${Name}>${one.human_label}<//></span>` },
  site: { name: "site", minor: true, cell: (one) => html`<${Name}>${one.site}<//>` },
  level: { name: "dBFS", number: true, minor: true, cell: (one) => one.rms_dbfs?.toFixed(1) },
  novelty: { name: "novelty", number: true, minor: true, cell: (one) => one.novelty?.toFixed(2) },
};

function answer(one) {
  if (one.status === "pending") return html`<span class="dim">waiting</span>`;
  if (one.status === "failed") return html`<span class="bad">failed: ${one.error}</span>`;
  const several = (one.labels ?? []).map((each) => each.label);
  return html`<${Name}>${several.length > 1 ? several.join(", ") : one.label ?? "–"}<//>${one.warning && html` <abbr title=${one.warning}>!</abbr>`}`;
}

const classOf = ({ number, wide, minor }) => [number && "n", wide && "wide", minor && "minor"].filter(Boolean).join(" ");

// `marked` has the ids of those that are selected; `onMark` is left out where none can be.
export function Rows({ items, columns, current, onCurrent, marked, onMark, caption }) {
  const shown = columns.map((name) => COLUMNS[name]);
  return html`<table class="rows" role="grid" aria-label=${caption}>
    <thead><tr>${onMark && html`<th><span class="hidden">selected</span></th>`}${shown.map((one) => html`<th class=${classOf(one)}>${one.name}</th>`)}</tr></thead>
    <tbody>${items.map((one) => html`<tr key=${one.id} data-id=${one.id} aria-selected=${one.id === current?.id} onClick=${() => onCurrent(one.id)} onDblClick=${() => open(one)}>
      ${onMark && html`<td><input type="checkbox" aria-label=${`Select ${one.path}`} checked=${marked.has(one.id)} onClick=${() => onMark(one)} /></td>`}
      ${shown.map((column) => html`<td class=${classOf(column)}>${column.cell(one)}</td>`)}</tr>`)}</tbody></table>`;
}

export const tellFault = (error) => tell(error.message, "fault");
