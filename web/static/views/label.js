// Label: one clip after the other, each answered with one key. Grid: 24 of one guess at once.

import { html, useEffect, useMemo, useRef, useState } from "../lib/preact-htm.js";
import { get } from "../core/api.js";
import { change } from "../core/address.js";
import { count, length, sure } from "../core/format.js";
import { useKeys } from "../core/keys.js";
import { label, none, not, undo, unsure } from "../core/labels.js";
import { useData } from "../core/poll.js";
import { Fault, KeyButton, Link, Name } from "../core/widgets.js";
import { Sound, player, prefetch } from "../sound/sound.js";
import { Grid } from "./grid.js";

export const KINDS = {
  suggested: "worth your ear", unsure: "unsure", disputed: "checkpoints disagree", rare: "rare labels",
  wrong: "you said otherwise", filter: "by the filters of Results",
};
const QUEUE = 50;
const MOST_SKIPPED = 150; // of those that were shown, so that an address is not too long
const AHEAD = 2;

export const LABEL_KEYS = [
  { key: "Enter", name: "the guess is right" },
  { key: "x", name: "it is not that" },
  { key: "0", name: "none of these" },
  { key: "s", name: "unsure" },
  { key: "u", name: "undo" },
  { key: "r", name: "hear it again" },
  { key: " ", name: "play and stop" },
  { key: "=", name: "an example of the guess" },
  { key: "/", name: "another label" },
  { key: "ArrowLeft", name: "the clip before", repeats: true },
  { key: "ArrowRight", name: "the next clip", repeats: true },
];
const TAKEN = new Set([...LABEL_KEYS.map((one) => one.key), "g", "?"]);
const FREE = [..."123456789", ..."qwertyiopadfjklzcvbnm"].filter((key) => !TAKEN.has(key));

// A key for each label: the commonest have the digits.
export const keysOf = (labels) => labels.slice(0, FREE.length).map((name, at) => ({ key: FREE[at], name }));

export function Label({ query, who }) {
  const kind = query.kind in KINDS ? query.kind : "suggested";
  const known = useData((signal) => get("labels/known", {}, { signal }), []);
  const names = (known.data ?? []).map((one) => one.label);
  return html`<h1>Label</h1>
    <p class="row">${Object.entries(KINDS).map(([name, text]) => html`
      <button aria-pressed=${name === kind} onClick=${() => change({ kind: name })}>${text}</button>`)}
      <button aria-pressed=${query.as === "grid"} onClick=${() => change({ as: query.as === "grid" ? "" : "grid" })}>Grid</button></p>
    <${Fault} error=${known.error} />
    ${known.data && (query.as === "grid"
      ? html`<${Grid} query=${query} names=${names} who=${who} />`
      : html`<${OneByOne} key=${kind} kind=${kind} query=${query} names=${names} who=${who} />`)}`;
}

function useQueue(kind, query) {
  const [clips, setClips] = useState([]);
  const [error, setError] = useState(null);
  const [isDone, setDone] = useState(false);
  const isAsking = useRef(false);
  const more = async () => {
    if (isAsking.current || isDone) return;
    isAsking.current = true;
    try {
      const { as, kind: _, ...filters } = query;
      const answer = await get("queue", { ...(kind === "filter" ? filters : {}), kind, n: QUEUE, skip: clips.map((one) => one.digest).slice(-MOST_SKIPPED) });
      const seen = new Set(clips.map((one) => `${one.digest}${one.start_s}`));
      const fresh = answer.items.filter((one) => !seen.has(`${one.digest}${one.start_s}`));
      setClips((before) => [...before, ...fresh]);
      setDone(!fresh.length);
      setError(null);
    } catch (problem) {
      setError(problem);
    }
    isAsking.current = false;
  };
  return { clips, error, isDone, more };
}

function OneByOne({ kind, query, names, who }) {
  const { clips, error, isDone, more } = useQueue(kind, query);
  const [at, setAt] = useState(0);
  const [acts, setActs] = useState([]); // {at, text}: what was said of which place in the queue, in its order
  const given = Object.fromEntries(acts.map((one) => [one.at, one.text]));
  const [begun] = useState(() => Date.now());
  const [hasPlayed, setPlayed] = useState(false);
  const input = useRef(null);
  const clip = clips[at];
  useEffect(() => {
    if (at >= clips.length - 10) more();
    clips.slice(at + 1, at + 1 + AHEAD).forEach((one) => prefetch(one.digest, one.start_s, one.end_s));
  }, [at, clips.length]);
  useEffect(() => setPlayed(false), [at]);
  const part = clip && { digest: clip.digest, start_s: clip.part_start_s, end_s: clip.part_end_s, seen: clip.seen };
  const way = hasPlayed ? "listened" : "looked";
  const say = (what, text) => {
    if (!clip || who.read_only) return;
    what();
    setActs((before) => [...before, { at, text }]);
    setAt(at + 1);
  };
  const give = (name) => say(() => label([part], name, way), name);
  const back = async () => {
    if (who.read_only) return;
    const last = acts.at(-1);
    if (last) {
      setActs((before) => before.filter((one) => one !== last));
      setAt(last.at);
    }
    if (!(await undo()) && last) setActs((before) => [...before, last]);
  };
  const shortcuts = useMemo(() => keysOf(names), [names.join("\n")]);
  const table = [...LABEL_KEYS, ...shortcuts];
  const actions = {
    Enter: () => clip?.label && give(clip.label),
    x: () => clip?.label && say(() => not(part, clip.label, way), `not ${clip.label}`),
    0: () => say(() => none([part], way), "none"),
    s: () => say(() => unsure(part, way), "unsure"),
    u: back,
    r: () => player.replay(),
    " ": () => player.toggle(),
    "=": () => playExample(clip?.label),
    "/": () => input.current?.focus(),
    ArrowLeft: () => setAt(Math.max(0, at - 1)),
    ArrowRight: () => setAt(Math.min(clips.length - 1, at + 1)),
    ...Object.fromEntries(shortcuts.map(({ key, name }) => [key, () => give(name)])),
  };
  useKeys(table, actions);
  const number = Object.keys(given).length;
  const hours = (Date.now() - begun) / 3_600_000;
  const press = (key) => () => actions[key]?.();
  return html`<${Fault} error=${error} />
    ${clip ? html`
      <section class="clip" data-clip=${at}>
        <p class="row"><${Link} view="recording" part=${clip.id}><${Name}>${clip.path}<//><//>
          <span class="dim">${clip.duration_s > clip.end_s - clip.start_s + 0.5 ? `${length(clip.start_s)} to ${length(clip.end_s)} of ${length(clip.duration_s)}` : length(clip.duration_s)}</span>
          <span class="dim">${clip.reason}</span>
          ${clip.human_label && html`<span>you said <b><${Name}>${clip.human_label}<//></b></span>`}
          ${given[at] && html`<span>given: <b><${Name}>${given[at]}<//></b></span>`}</p>
        <${Sound} key=${at} digest=${clip.digest} start=${clip.start_s} end=${clip.end_s} duration=${clip.duration_s} autoplay onPlay=${() => setPlayed(true)} />
        <p class="guess">The guess: <b><${Name}>${clip.label ?? "none"}<//></b> <span class="n">${sure(clip.confidence)}</span></p>
        <p class="row">
          <${KeyButton} k="Enter" kind="strong" onPress=${press("Enter")} disabled=${!clip.label || who.read_only}>Right<//>
          <${KeyButton} k="x" onPress=${press("x")} disabled=${who.read_only}>Not this<//>
          <${KeyButton} k="0" onPress=${press("0")} disabled=${who.read_only}>None of these<//>
          <${KeyButton} k="s" onPress=${press("s")} disabled=${who.read_only}>Unsure<//>
          <${KeyButton} k="u" onPress=${press("u")} disabled=${who.read_only}>Undo<//>
          <${KeyButton} k="r" onPress=${press("r")}>Again<//>
          <${KeyButton} k="=" onPress=${press("=")}>An example<//>
          <${KeyButton} k="ArrowLeft" onPress=${press("ArrowLeft")}>Before<//>
          <${KeyButton} k="ArrowRight" onPress=${press("ArrowRight")}>Next<//></p>
        <p class="row labels">${shortcuts.map(({ key, name }) => html`
          <${KeyButton} k=${key} onPress=${() => give(name)} disabled=${who.read_only}><${Name}>${name}<//><//>`)}
          <${TypeAhead} input=${input} names=${names} onGive=${give} disabled=${who.read_only} /></p>
      </section>`
      : isDone ? html`<section><p>Nothing is left here: ${kind === "suggested" ? "no answered recording is without a label" : "choose another list above"}.</p></section>`
      : !error && html`<section aria-busy="true"><p class="dim">Looking for clips …</p></section>`}
    <p class="dim" aria-live="polite">${count(number)} given${number > 4 ? `, ${count(Math.round(number / hours))} an hour` : ""}. Sound begins with the first key: browsers want it so.</p>`;
}

export function TypeAhead({ input, names, onGive, disabled }) {
  const submit = (event) => {
    event.preventDefault();
    const text = input.current.value.trim();
    if (!text) return;
    input.current.value = "";
    input.current.blur();
    onGive(text);
  };
  return html`<form class="row" onSubmit=${submit}><input ref=${input} list="known-labels" placeholder="another label" aria-label="Another label, or several: rain;wind" autocomplete="off" disabled=${disabled} maxlength="200" />
    <datalist id="known-labels">${names.map((name) => html`<option value=${name} />`)}</datalist><kbd>/</kbd></form>`;
}

// The recording that a person labelled so, else the surest answer.
async function playExample(name) {
  if (!name) return;
  const { items } = await get("recordings", { label: name, sort: "confidence", limit: 1 });
  const [one] = items;
  if (one) player.play(one.digest, 0, Math.min(one.duration_s, 10));
}
