// Grid: 24 small spectrograms of one guess. All count as right until they are struck out.

import { html, useEffect, useRef, useState } from "../lib/preact-htm.js";
import { addressOf, get } from "../core/api.js";
import { change } from "../core/address.js";
import { sure } from "../core/format.js";
import { useKeys } from "../core/keys.js";
import { sort, undo } from "../core/labels.js";
import { Fault, KeyButton, Name } from "../core/widgets.js";
import { player } from "../sound/sound.js";

const SHOWN = 24;

export const GRID_KEYS = [
  { key: "ArrowLeft", name: "left", repeats: true },
  { key: "ArrowRight", name: "right", repeats: true },
  { key: "ArrowUp", name: "up", repeats: true },
  { key: "ArrowDown", name: "down", repeats: true },
  { key: " ", name: "play it" },
  { key: "x", name: "strike it out: it is not that" },
  { key: "Enter", name: "the others are right: write, and on" },
  { key: "u", name: "undo" },
];

export function Grid({ query, names, who }) {
  const name = query.label ?? names[0];
  const [clips, setClips] = useState(null);
  const [error, setError] = useState(null);
  const [at, setAt] = useState(0);
  const [struck, setStruck] = useState(new Set());
  const [round, setRound] = useState(0);
  const list = useRef(null);
  useEffect(() => {
    setClips(null);
    setStruck(new Set());
    setAt(0);
    setError(null);
    const abort = new AbortController();
    get("queue", { kind: "guess", label: name, n: SHOWN }, { signal: abort.signal })
      .then((answer) => setClips(answer.items), (problem) => !abort.signal.aborted && setError(problem));
    return () => abort.abort();
  }, [name, round]);
  const strike = (place) => {
    const next = new Set(struck);
    next.has(place) ? next.delete(place) : next.add(place);
    setStruck(next);
  };
  const part = (clip) => ({ digest: clip.digest, start_s: clip.part_start_s, end_s: clip.part_end_s, seen: clip.seen });
  const commit = async () => {
    if (!clips?.length || who.read_only) return;
    const right = clips.filter((_, place) => !struck.has(place)).map(part);
    const wrong = clips.filter((_, place) => struck.has(place)).map(part);
    setClips(null);
    await sort(right, wrong, name, "bulk");
    setRound(round + 1);
  };
  // As many as stand in a row of this window.
  const columns = () => getComputedStyle(list.current).gridTemplateColumns.split(" ").length;
  const move = (by) => () => setAt(Math.max(0, Math.min((clips?.length ?? 1) - 1, at + by)));
  const play = (place) => clips?.[place] && player.play(clips[place].digest, clips[place].start_s, clips[place].end_s);
  const actions = {
    ArrowLeft: move(-1), ArrowRight: move(1), ArrowUp: () => move(-columns())(), ArrowDown: () => move(columns())(),
    " ": () => play(at), x: () => strike(at), Enter: commit,
    u: async () => !who.read_only && (await undo()) && setRound(round + 1),
  };
  useKeys(GRID_KEYS, actions);
  return html`<${Fault} error=${error} />
    <p class="row"><label>All of these are <select onChange=${(event) => change({ label: event.target.value })}>
      ${names.map((one) => html`<option selected=${one === name}>${one}</option>`)}</select></label>
      <${KeyButton} k="Enter" kind="strong" onPress=${commit} disabled=${!clips?.length || who.read_only}>Write ${clips ? clips.length - struck.size : ""} as right${struck.size ? `, ${struck.size} as wrong` : ""}<//>
      <${KeyButton} k="x" onPress=${actions.x}>Strike out<//><${KeyButton} k=" " onPress=${actions[" "]}>Play<//><${KeyButton} k="u" onPress=${actions.u} disabled=${who.read_only}>Undo<//></p>
    ${clips && !clips.length && html`<section><p>No answer “<${Name}>${name}<//>” is left without a label.</p></section>`}
    <ol class="grid" ref=${list}>${clips?.map((clip, place) => html`
      <li key=${clip.digest + clip.start_s}><button type="button" aria-pressed=${struck.has(place)} aria-current=${place === at} class=${struck.has(place) ? "struck" : ""}
        title="Play; again: strike out" onClick=${() => (place === at ? strike(place) : (setAt(place), play(place)))}>
        <img alt="Spectrogram" width="160" height="90" loading="lazy" src=${addressOf(`media/${clip.digest}/picture`, { start: clip.start_s, end: clip.end_s, w: 160, h: 90 })} />
        <span><${Name}>${clip.path}<//> <span class="n">${sure(clip.confidence)}</span></span></button></li>`)}</ol>`;
}
