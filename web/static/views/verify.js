// Verify: how often a label is right, by confidence, and the threshold that follows from it.

import { html, useEffect, useState } from "../lib/preact-htm.js";
import { get, post } from "../core/api.js";
import { change } from "../core/address.js";
import { count, share, sure } from "../core/format.js";
import { useKeys } from "../core/keys.js";
import { label, not, undo, unsure } from "../core/labels.js";
import { useData } from "../core/poll.js";
import { Fault, KeyButton, Name, tell } from "../core/widgets.js";
import { Sound, player, prefetch } from "../sound/sound.js";

export const VERIFY_KEYS = [
  { key: "y", name: "yes, it is" },
  { key: "n", name: "no" },
  { key: "s", name: "unsure: leave it out" },
  { key: "u", name: "undo" },
  { key: "r", name: "hear it again" },
  { key: " ", name: "play and stop" },
];
const SIZES = [20, 50, 100, 200];

export function Verify({ query, who }) {
  const known = useData((signal) => get("labels/known", {}, { signal }), []);
  const names = (known.data ?? []).filter((one) => one.n).map((one) => one.label);
  const name = query.label ?? names[0];
  const n = Number(query.n ?? 100);
  return html`<h1>Verify</h1>
    <p class="dim">Clips of one label, spread over all confidences. Say yes or no; the share that is right gives the threshold.</p>
    <${Fault} error=${known.error} />
    <p class="row"><label>Label <select onChange=${(event) => change({ label: event.target.value })}>${names.map((one) => html`<option selected=${one === name}>${one}</option>`)}</select></label>
      <label>Clips <select onChange=${(event) => change({ n: event.target.value })}>${SIZES.map((size) => html`<option selected=${size === n}>${size}</option>`)}</select></label>
      <label>Wanted precision <input type="number" min="0.5" max="0.99" step="0.01" value=${query.precision ?? 0.9} onChange=${(event) => change({ precision: event.target.value })} /></label></p>
    ${known.data && !names.length && html`<section><p>There are no answers yet: drop recordings into the inbox first.</p></section>`}
    ${name && html`<${OneLabel} key=${`${name} ${n}`} name=${name} n=${n} precision=${Number(query.precision ?? 0.9)} who=${who} />`}`;
}

function OneLabel({ name, n, precision, who }) {
  const [clips, setClips] = useState(null);
  const [error, setError] = useState(null);
  const [given, setGiven] = useState([]); // true, false or null (unsure), in the order of the clips
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    get("verify/queue", { label: name, n }).then((answer) => setClips(answer.items), setError);
  }, []);
  const at = given.length;
  const clip = clips?.[at];
  useEffect(() => {
    clips?.slice(at + 1, at + 3).forEach((one) => prefetch(one.digest, one.start_s, one.end_s));
  }, [clips, at]);
  const result = useData((signal) => get("verify", { label: name, precision }, { signal }), [name, precision, turn]);
  const say = (answer, write) => async () => {
    if (!clip || who.read_only) return;
    const part = { digest: clip.digest, start_s: clip.part_start_s, end_s: clip.part_end_s, seen: clip.seen };
    setGiven((before) => [...before, answer]);
    await write(part);
    setTurn((before) => before + 1);
  };
  const actions = {
    y: say(true, (part) => label([part], name, "verified")),
    n: say(false, (part) => not(part, name, "verified")),
    s: say(null, (part) => unsure(part, "verified")),
    u: async () => {
      if (!at || who.read_only) return;
      setGiven((before) => before.slice(0, -1));
      if (!(await undo())) setGiven((before) => [...before, given[at - 1]]);
      setTurn((before) => before + 1);
    },
    r: () => player.replay(),
    " ": () => player.toggle(),
  };
  useKeys(VERIFY_KEYS, actions);
  return html`<${Fault} error=${error} />
    ${clip ? html`<section><p>${at + 1} of ${clips.length}: is this <b><${Name}>${name}<//></b>? <span class="n dim">${sure(clip.confidence)}</span> <${Name}>${clip.path}<//></p>
      <${Sound} key=${at} digest=${clip.digest} start=${clip.start_s} end=${clip.end_s} duration=${clip.duration_s} autoplay />
      <p class="row"><${KeyButton} k="y" kind="strong" onPress=${actions.y} disabled=${who.read_only}>Yes<//><${KeyButton} k="n" onPress=${actions.n} disabled=${who.read_only}>No<//>
        <${KeyButton} k="s" onPress=${actions.s} disabled=${who.read_only}>Unsure<//><${KeyButton} k="u" onPress=${actions.u} disabled=${who.read_only}>Undo<//><${KeyButton} k="r" onPress=${actions.r}>Again<//></p></section>`
      : clips && html`<section><p>${clips.length ? "All of these are judged." : "Every clip of this label was judged, or none has it."}</p></section>`}
    <${Outcome} name=${name} precision=${precision} result=${result} who=${who} />`;
}

function Outcome({ name, precision, result: { data, error }, who }) {
  const write = async () => {
    try {
      const { line } = await post("verify/threshold", { label: name, threshold: data.threshold });
      tell(`clfd.toml has ${line} now; a running daemon takes it at a reload`);
    } catch (problem) {
      tell(problem.message, "fault");
    }
  };
  if (!data) return html`<${Fault} error=${error} />`;
  return html`<section><h2>So far</h2>
    <p>${count(data.n_judged)} judged, ${share(data.right)} right${data.low !== null && data.n_judged ? ` (${share(data.low)} to ${share(data.high)})` : ""}, weighted by how many answers each confidence has.</p>
    <${Curve} bins=${data.bins} threshold=${data.threshold} precision=${precision} />
    <table><thead><tr><th>confidence</th><th class="n">answers</th><th class="n">judged</th><th class="n">right</th><th class="n">interval</th></tr></thead>
      <tbody>${data.bins.map((bin) => html`<tr><td>${sure(bin.low)} to ${sure(bin.high)}</td><td class="n">${count(bin.n_answers)}</td><td class="n">${bin.n_judged}</td>
        <td class="n">${bin.n_judged ? share(bin.n_right / bin.n_judged) : "–"}</td><td class="n">${bin.n_judged ? `${share(bin.interval[0])} to ${share(bin.interval[1])}` : "–"}</td></tr>`)}</tbody></table>
    <p class="row">${data.threshold === null ? html`<span>${data.reason ?? "No threshold reaches that precision with what was judged."}</span>`
      : html`<span>Above <b>${sure(data.threshold)}</b>, ${share(data.precision)} are right (at least ${share(data.precision_low)}).</span>
        <button class="strong" onClick=${write} disabled=${who.read_only}>Write this threshold into clfd.toml</button>`}</p></section>`;
}

// The share that is right by confidence, with intervals; the line is the wanted precision.
function Curve({ bins, threshold, precision }) {
  const x = (confidence) => 30 + 360 * confidence;
  const y = (part) => 110 - 100 * part;
  const judged = bins.filter((bin) => bin.n_judged);
  return html`<svg class="curve" viewBox="0 0 400 130" role="img" aria-label=${`Right by confidence: ${judged.map((bin) => `${sure(bin.low)}: ${share(bin.n_right / bin.n_judged)}`).join(", ") || "nothing judged yet"}`}>
    <line x1="30" x2="390" y1=${y(0)} y2=${y(0)} stroke="var(--line)" /><line x1="30" x2="390" y1=${y(precision)} y2=${y(precision)} stroke="var(--c3)" stroke-dasharray="4 3" />
    ${[0, 0.5, 1].map((part) => html`<text x="0" y=${y(part) + 4}>${100 * part} %</text><text x=${x(part) - 8} y="126">${part}</text>`)}
    ${threshold !== null && html`<line x1=${x(threshold)} x2=${x(threshold)} y1="5" y2="110" stroke="var(--c2)" />`}
    ${judged.map((bin) => {
      const middle = x((bin.low + bin.high) / 2);
      return html`<line x1=${middle} x2=${middle} y1=${y(bin.interval[0])} y2=${y(bin.interval[1])} stroke="var(--c0)" /><circle cx=${middle} cy=${y(bin.n_right / bin.n_judged)} r="4" fill="var(--c1)" />`;
    })}</svg>`;
}
