// One recording: all of it, a window of it to look at and to listen to, and what is known and said of it.

import { html, useEffect, useMemo, useRef, useState } from "../lib/preact-htm.js";
import { change } from "../core/address.js";
import { addressOf, get } from "../core/api.js";
import { count, hertz, length, moment, sure } from "../core/format.js";
import { useKeys } from "../core/keys.js";
import { label as say } from "../core/labels.js";
import { useData } from "../core/poll.js";
import { Fault, KeyButton, Link, Name, tell } from "../core/widgets.js";
import { GAINS, HIGH_PASSES, SLOWNESSES } from "../sound/player.js";
import { Blocked, player, prefetch, Spectrogram, usePlayer } from "../sound/sound.js";
import { FFT_SIZES } from "../sound/spectrum.js";

export const KEYS = [
  { key: " ", name: "play or stop" },
  { key: "ArrowLeft", name: "earlier", repeats: true },
  { key: "ArrowRight", name: "later", repeats: true },
  { key: "ArrowUp", name: "higher", repeats: true },
  { key: "ArrowDown", name: "lower", repeats: true },
  { key: ",", name: "clip before", repeats: true },
  { key: ".", name: "next clip", repeats: true },
  { key: "+", name: "less time" },
  { key: "-", name: "more time" },
  { key: "[", name: "fewer Hz" },
  { key: "]", name: "more Hz" },
  { key: "h", name: "high-pass" },
  { key: "t", name: "slower" },
  { key: "n", name: "gain" },
  { key: "b", name: "contrast" },
  { key: "o", name: "loop" },
  { key: "l", name: "label the part, or all of it" },
];
const CONTRASTS = [70, 50, 35, 90]; // dB
const FIRST_WINDOW_S = 10;
const SHORTEST_S = 0.05;
const LONGEST_S = 60;
const HUES = 6;

const next = (list, value) => list[(list.indexOf(value) + 1) % list.length];
const within = (value, low, high) => Math.min(high, Math.max(low, value));

export function Recording({ part: id, query, who }) {
  const { data, error, refresh } = useData((signal) => get(`recordings/${id}`, {}, { signal }), [id]);
  return html`<${Fault} error=${error} />${data && html`<${Loaded} key=${data.digest} one=${data} query=${query} who=${who} refresh=${refresh} />`}`;
}

function Loaded({ one, query, who, refresh }) {
  const view = useMemo(() => windowOf(one, query), [one, query]);
  const input = useRef(null);
  const clips = clipList(one.clips);
  const actions = actionsOf(one, view, clips, () => input.current?.focus());
  useKeys(KEYS, actions);
  useEffect(() => player.set({ gain: view.gain, highPass: view.highPass, slow: view.slow, loop: view.loop }), [view]);
  const { digest: playing } = usePlayer();
  const [heard, setHeard] = useState(false);
  useEffect(() => playing === one.digest && setHeard(true), [playing]);
  useEffect(() => leave, []);
  const at = clipAt(clips, view.middle);
  const following = clips[clips.indexOf(at) + 1];
  useEffect(() => following && prefetch(one.digest, following.start, following.end), [following]);
  const label = at?.label ?? one.label;
  const picture = { fft: view.fft, low: view.low, high: view.high, contrast: view.contrast, gain: view.gain, part: view.part };
  return html`
    <h1><${Name}>${one.path}<//></h1>
    <p class="row"><strong><${Name}>${one.label ?? one.status}<//></strong> <span class="n">${sure(one.confidence)}</span>
      ${one.human_label && html`<span>labelled <strong><${Name}>${one.human_label}<//></strong></span>`}
      <span class="dim">${length(one.duration_s)}, ${one.sample_rate_hz ? hertz(one.sample_rate_hz) : "rate unknown"}, recorded ${moment(one.recorded_at)}</span></p>
    ${one.error && html`<p class="fault">${one.error}</p>`}
    ${one.warning && html`<p class="warning">${one.warning}</p>`}
    ${one.digest && one.duration_s > 0 && html`<section class="listen">
      <${Overview} one=${one} clips=${clips} view=${view} />
      <${Spectrogram} digest=${one.digest} start=${view.start} end=${view.end} duration=${one.duration_s} label=${label} height=${280} ...${picture}
        onPart=${({ start, end }) => set({ part: `${round(start)}-${round(end)}` })} onPlace=${(second) => player.play(...view.heard(one), { at: within(second, ...view.heard(one).slice(1)) })} />
      <${Controls} one=${one} view=${view} actions=${actions} />
      ${!who.read_only && html`<${LabelForm} input=${input} one=${one} part=${view.part} wasHeard=${heard} onDone=${refresh} />`}
    </section>`}
    <div class="columns">
      <${Scores} scores=${one.scores} /><${Parts} one=${one} /><${History} history=${one.history} /><${Facts} one=${one} />
    </div>`;
}

function leave() {
  player.stop();
  player.set({ gain: 0, highPass: 0, slow: 1, loop: false });
}

// --- the window, which is in the address

const round = (second) => +second.toFixed(3);
const set = (query) => change(query, { replace: true });

function windowOf(one, query) {
  const whole = one.duration_s || FIRST_WINDOW_S;
  const nyquist = (one.sample_rate_hz || 44100) / 2;
  const number = (name, otherwise) => (Number.isFinite(parseFloat(query[name])) ? parseFloat(query[name]) : otherwise);
  const span = within(number("span", Math.min(FIRST_WINDOW_S, whole)), Math.min(SHORTEST_S, whole), Math.min(LONGEST_S, whole));
  const start = within(number("from", 0), 0, whole - span);
  const [begin, end] = (query.part ?? "").split("-").map(parseFloat);
  const part = end > begin ? { start: begin, end } : null;
  const low = within(number("low", 0), 0, nyquist - 50);
  const values = { start, end: start + span, span, whole, nyquist, middle: start + span / 2, low, high: within(number("high", nyquist), low + 50, nyquist) };
  const choices = { highPass: number("hp", 0), slow: number("slow", 1), gain: number("gain", 0), contrast: number("contrast", CONTRASTS[0]), fft: number("fft", 0) };
  // What is played: the part, else from the window to the end of it.
  const heard = ({ digest }) => (part ? [digest, part.start, part.end] : [digest, start, start + span]);
  return { ...values, ...choices, loop: query.loop === "1", part, heard };
}

function actionsOf(one, view, clips, openLabels) {
  const { start, span, low, high, nyquist, whole } = view;
  const move = (from) => set({ from: round(within(from, 0, whole - span)) });
  const zoom = (factor) => {
    const wide = within(span * factor, Math.min(SHORTEST_S, whole), Math.min(LONGEST_S, whole));
    set({ span: round(wide), from: round(within(view.middle - wide / 2, 0, whole - wide)) });
  };
  const reach = (from, to) => set({ low: from > 0 ? Math.round(from) : "", high: to < nyquist ? Math.round(to) : "" });
  const shift = (by) => reach(within(low + by, 0, nyquist - (high - low)), within(high + by, high - low, nyquist));
  const clip = (one) => one && set({ from: round(within(one.start, 0, whole - (one.end - one.start))), span: round(one.end - one.start), part: "" });
  const at = clips.indexOf(clipAt(clips, view.middle));
  return {
    " ": () => player.toggle(...view.heard(one)),
    ArrowLeft: () => move(start - span / 4),
    ArrowRight: () => move(start + span / 4),
    ArrowUp: () => shift((high - low) / 4),
    ArrowDown: () => shift((low - high) / 4),
    ",": () => clip(clips[at - 1]),
    ".": () => clip(clips[at + 1]),
    "+": () => zoom(0.5),
    "-": () => zoom(2),
    "[": () => reach(low, low + (high - low) / 2),
    "]": () => reach(low, low + (high - low) * 2),
    h: () => set({ hp: next(HIGH_PASSES, view.highPass) || "" }),
    t: () => set({ slow: next(SLOWNESSES, view.slow) }),
    n: () => set({ gain: next(GAINS, view.gain) || "" }),
    b: () => set({ contrast: next(CONTRASTS, view.contrast) }),
    o: () => set({ loop: view.loop ? "" : "1" }),
    l: openLabels,
  };
}

// --- clips

const clipList = ({ start_s, end_s, label, confidence }) =>
  start_s.map((start, at) => ({ start, end: end_s[at], label: label[at], confidence: confidence[at] })).filter(({ start }, at, all) => start !== all[at - 1]?.start);

// The one in the middle of which, or next before which, a second lies.
const clipAt = (clips, second) => clips.findLast((clip) => clip.start <= second) ?? clips[0];

// The commonest labels have a colour of their own.
function hues(clips) {
  const counts = new Map();
  for (const { label } of clips) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1]).slice(0, HUES).map(([label]) => label);
}

const hue = (labels, label) => `var(--c${labels.indexOf(label) + 1})`;

// All of it: its picture, what its clips were answered, and where the window is.
function Overview({ one, clips, view }) {
  const { whole, start, span } = view;
  const labels = hues(clips);
  const go = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    set({ from: round(within(((event.clientX - box.left) / box.width) * whole - span / 2, 0, whole - span)) });
  };
  const paths = labels.concat("").map((label) => ({ label, d: clips.filter((clip) => (label ? clip.label === label : !labels.includes(clip.label)))
    .map(({ start: from, end, confidence }) => `M${from} 1V${1 - confidence}H${end}V1Z`).join("") })).filter(({ d }) => d);
  return html`<div class="overview" onClick=${go}>
      <img src=${addressOf(`media/${one.digest}/picture`, { start: "0", end: whole, w: 1200, h: 64 })} alt="All of the recording" />
      <svg viewBox="0 0 ${whole} 1" preserveAspectRatio="none" role="img" aria-label="Labels of the clips, higher where surer">
        ${paths.map(({ label, d }) => html`<path d=${d} style=${{ fill: hue(labels, label) }} />`)}</svg>
      <div class="window" style=${{ left: `${(100 * start) / whole}%`, width: `${(100 * span) / whole}%` }} />
    </div>
    <p class="legend row">${labels.map((label) => html`<span><i style=${{ background: hue(labels, label) }} /><${Name}>${label}<//></span>`)}</p>`;
}

function Controls({ one, view, actions }) {
  const { digest, error } = usePlayer();
  const button = (k, text, pressed) => html`<${KeyButton} k=${k} pressed=${pressed} onPress=${actions[k]} title=${KEYS.find(({ key }) => key === k).name}>${text}<//>`;
  return html`<div class="row controls">
      ${button(" ", digest ? "Stop" : "Play", Boolean(digest))}${button("o", "Loop", view.loop)}
      ${button("t", view.slow === 1 ? "own speed" : `1/${view.slow} speed`)}${button("h", view.highPass ? `over ${hertz(view.highPass)}` : "no filter")}${button("n", `+${view.gain} dB`)}
      ${button("b", `${view.contrast} dB range`)}
      <span class="pair">${button("ArrowLeft", "Earlier")}${button("ArrowRight", "Later")}</span>
      <span class="pair">${button(",", "Clip before")}${button(".", "Next clip")}</span>
      <span class="pair">${button("+", "Zoom in")}${button("-", "out")}</span>
      <span class="pair">${button("[", "Hz in")}${button("]", "out")}${button("ArrowUp", "up")}${button("ArrowDown", "down")}</span>
      <label>FFT <select value=${view.fft} onChange=${(event) => set({ fft: event.target.value === "0" ? "" : event.target.value })}>
        <option value="0">auto</option>${FFT_SIZES.map((size) => html`<option value=${size}>${size}</option>`)}</select></label>
      ${view.part && html`<button type="button" onClick=${() => set({ part: "" })}>Drop the part ${length(view.part.start)} to ${length(view.part.end)}</button>`}
      <${Blocked} />
    </div><${Fault} error=${error} />`;
}

// A name for the part, or for all of it: known ones are offered, and any other may be typed.
function LabelForm({ input, one, part, wasHeard, onDone }) {
  const [text, setText] = useState("");
  const { data: known } = useData((signal) => get("labels/known", {}, { signal }), []);
  const submit = async (event) => {
    event.preventDefault();
    if (!text.trim()) return;
    const { start: start_s, end: end_s } = part ?? { start: 0, end: 0 };
    input.current.blur();
    if (!(await say([{ digest: one.digest, start_s, end_s, seen: one.seen }], text.trim(), wasHeard ? "listened" : "looked"))) return;
    tell(`Labelled ${text.trim()}`);
    setText("");
    onDone();
  };
  return html`<form class="row" onSubmit=${submit}><label>${part ? `${length(part.start)} to ${length(part.end)} is` : "All of it is"} <kbd>l</kbd> <input
      list="labels-known" value=${text} autocomplete="off" ref=${input} onInput=${(event) => setText(event.target.value)} /></label>
    <datalist id="labels-known">${known?.map(({ label }) => html`<option value=${label} />`)}</datalist>
    <button class="strong">Label</button></form>`;
}

// --- what is known of it

function Scores({ scores }) {
  const rows = Object.entries(scores ?? {}).sort((one, other) => other[1] - one[1]).slice(0, 12);
  return rows.length > 0 && html`<section><h2>Scores</h2><table class="scores"><tbody>${rows.map(([label, p]) => html`
    <tr><td><${Name}>${label}<//></td><td><meter min="0" max="1" value=${p} /></td><td class="n">${sure(p)}</td></tr>`)}</tbody></table></section>`;
}

function Parts({ one }) {
  return one.parts.length > 0 && html`<section><h2>Labelled by people</h2><ul class="parts people">${one.parts.map(({ start_s, end_s, label }) => html`<li>
    <button type="button" onClick=${() => set({ part: `${start_s}-${end_s ?? one.duration_s}`, from: start_s })}>${length(start_s)} to ${length(end_s ?? one.duration_s)}</button> <${Name}>${label}<//></li>`)}</ul></section>`;
}

function History({ history }) {
  return history.length > 0 && html`<section><h2>Answers</h2><ul class="parts">${history.map((each) => html`<li><${Name}>${each.label}<//> ${sure(each.confidence)}
    <div class="dim">${moment(each.classified_at)} by <${Link} view="checkpoints" part=${each.checkpoint}>${each.checkpoint}<//></div></li>`)}</ul></section>`;
}

function Facts({ one }) {
  const level = (db) => (db === null ? null : `${db.toFixed(1)} dBFS`);
  const recorder = Object.entries(one.recorder ? JSON.parse(one.recorder) : {});
  const facts = [["site", one.site], ["inbox", one.inbox], ["archived", one.archived_path], ["channels", one.channels && count(one.channels)],
    ["level", level(one.rms_dbfs)], ["peak", level(one.peak_dbfs)], ["clipped", one.clipped ? `${(100 * one.clipped).toFixed(2)} %` : null],
    ["novelty", one.novelty === null ? null : sure(one.novelty)], ["SHA-256", one.digest], ...recorder];
  return html`<section><h2>Facts</h2><dl class="known">${facts.filter(([, value]) => value !== null && value !== "").map(([name, value]) => html`
    <dt>${name}</dt><dd><${Name}>${String(value)}<//></dd>`)}</dl>
    ${one.digest && html`<a href=${addressOf(`media/${one.digest}/original`)} download>The file itself</a>`}</section>`;
}
