// Trainings: those that run and ran, the curve and the log of one, and the dialog that starts one.

import { html, useState } from "../lib/preact-htm.js";
import { addressOf, get, respond } from "../core/api.js";
import { change } from "../core/address.js";
import { ago, moment, share } from "../core/format.js";
import { useData } from "../core/poll.js";
import { Ask, Fault, Name } from "../core/widgets.js";

const WIDTH = 640;
const HEIGHT = 200;
const MARGIN = { left: 44, right: 44, top: 12, bottom: 26 };

export function Trainings({ trainings: { data, error }, chosen, children }) {
  const items = data?.items ?? [];
  const shown = items.find((one) => one.id === chosen) ?? items[0];
  return html`<section><h2>Trainings</h2><${Fault} error=${error} />
    ${data && !items.length && html`<p>None so far. Label some recordings, then train.</p>`}
    ${items.length > 0 && html`<div class="wide"><table class="trainings"><thead><tr><th>began</th><th>state</th><th>what came of it</th></tr></thead>
      <tbody>${items.slice(0, 10).map((one) => html`<tr key=${one.id} aria-selected=${one === shown}>
        <td><button type="button" class="plain" onClick=${() => change({ training: one.id }, { replace: true })}>${moment(one.began_at)}</button></td>
        <td><span class="mark ${one.state}">${one.state}</span>${one.state === "running" && ` ${one.stage}`}</td>
        <td><${Verdict} one=${one} /></td></tr>`)}</tbody></table></div>`}
    ${shown && html`<${Training} key=${shown.id} id=${shown.id} runs=${shown.state === "running"}>${children}<//>`}</section>`;
}

function Verdict({ one: { outcome, error } }) {
  if (!outcome) return error && html`<${Name}>${error}<//>`;
  const quality = typeof outcome.val_accuracy === "number" ? `${share(outcome.val_accuracy)}, ` : "";
  return html`${quality}<${Name}>${outcome.checkpoint}<//> ${outcome.promoted ? "is promoted" : "is not promoted"}: <${Name}>${outcome.promotion_reason}<//>`;
}

function Training({ id, runs, children }) {
  const path = `trainings/${encodeURIComponent(id)}`;
  const { data, error } = useData((signal) => get(path, {}, { signal }), [id, runs], runs ? 1 : 0);
  if (!data) return html`<${Fault} error=${error} />`;
  const { curve, epochs } = data;
  return html`<h3>Training of ${moment(data.began_at)}</h3>
    <p class="row">${runs && html`<progress max=${epochs ?? 1} value=${epochs ? curve.length : undefined} aria-label="Epochs"></progress>`}
      <span>${runs ? data.stage : data.state}${epochs ? `, epoch ${curve.at(-1)?.epoch ?? 0} of ${epochs}` : ""}${runs && data.updated_at ? `, ${ago(data.updated_at)}` : ""}</span>${children}</p>
    <${Curve} epochs=${epochs} curve=${curve} />
    <${Log} path=${path} runs=${runs} />`;
}

// Losses to the left axis, accuracy to the right one.
function Curve({ epochs, curve }) {
  if (!curve.length) return null;
  const last = curve.at(-1);
  const lines = [
    { name: "loss", of: "train_loss", kind: "c1" },
    { name: "validation loss", of: "val_loss", kind: "c2" },
    { name: "accuracy", of: "val_accuracy", kind: "c3", isShare: true },
  ].filter(({ of }) => typeof last[of] === "number");
  const highest = Math.max(1e-6, ...curve.flatMap((one) => [one.train_loss ?? 0, one.val_loss ?? 0]));
  const x = (epoch) => MARGIN.left + ((WIDTH - MARGIN.left - MARGIN.right) * epoch) / (epochs ?? last.epoch);
  const y = (part) => HEIGHT - MARGIN.bottom - (HEIGHT - MARGIN.top - MARGIN.bottom) * part;
  const points = ({ of, isShare }) => curve.filter((one) => typeof one[of] === "number")
    .map((one) => `${x(one.epoch).toFixed(1)},${y(one[of] / (isShare ? 1 : highest)).toFixed(1)}`).join(" ");
  const value = ({ of, isShare }) => (isShare ? share(last[of]) : last[of].toFixed(3));
  const text = lines.map((line) => `${line.name} ${value(line)}`).join(", ");
  return html`<figure class="curve"><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="After epoch ${last.epoch}: ${text}">
    ${[0, 0.5, 1].map((part) => html`<line class="grid" x1=${MARGIN.left} x2=${WIDTH - MARGIN.right} y1=${y(part)} y2=${y(part)} />
      <text x=${MARGIN.left - 6} y=${y(part) + 4} text-anchor="end">${(highest * part).toFixed(2)}</text>
      ${lines.some((line) => line.isShare) && html`<text x=${WIDTH - MARGIN.right + 6} y=${y(part) + 4}>${100 * part} %</text>`}`)}
    <text x=${x(epochs ?? last.epoch)} y=${HEIGHT - 8} text-anchor="end">epoch ${epochs}</text>
    ${lines.map((line) => html`<polyline class=${line.kind} points=${points(line)} />`)}</svg>
    <figcaption>${lines.map((line) => html`<span class=${line.kind}>${line.name} <b>${value(line)}</b></span>`)}</figcaption></figure>`;
}

function Log({ path, runs }) {
  const [isOpen, setOpen] = useState(false);
  const ask = async (signal) => (isOpen ? (await respond(addressOf(`${path}/log`), { signal })).text() : "");
  const { data, error } = useData(ask, [path, isOpen, runs], runs && isOpen ? 2 : 0);
  return html`<details onToggle=${(event) => setOpen(event.target.open)}><summary>Log</summary>
    <${Fault} error=${error} /><pre class="log">${data || "It has none: it was started in a terminal or by a service, which keep its lines."}</pre></details>`;
}

export function TrainDialog({ byService, onAnswer }) {
  const [options, setOptions] = useState({ start: "scratch", promote: "auto", skip_bad: true });
  const set = (name, read = (target) => target.value) => (event) => {
    const value = read(event.target);
    setOptions((before) => ({ ...before, [name]: value === "" ? undefined : value }));
  };
  const number = (target) => (target.value === "" ? "" : Number(target.value));
  const answer = (yes) => onAnswer(yes, options);
  if (byService) {
    return html`<${Ask} title="Train from the labels?" yes="Write the labels" onAnswer=${answer}>
      <p>The labels go to <${Name}>${byService}<//>, where <code>clfd-train.path</code> waits for them; the options stand in <code>/etc/clfd/train.env</code>.</p><//>`;
  }
  return html`<${Ask} title="Train from the labels?" yes="Train" onAnswer=${answer}>
    <p>It learns from what people labelled, and outlives this page.</p>
    <div class="fields">
      <label>Begin with <select onChange=${set("start")}><option value="scratch">new weights</option><option value="active">the active checkpoint</option></select></label>
      <label>Epochs <input type="number" min="1" max="100000" placeholder="the recipe's" onInput=${set("epochs", number)} /></label>
      <label>Task <select onChange=${set("task")}><option value="auto">by the labels</option><option value="single">one label of all</option><option value="multi">several, or none</option></select></label>
      <label>Precision of thresholds <input type="number" min="0.01" max="0.99" step="0.01" placeholder="none" onInput=${set("precision", number)} /></label>
      <label>Activate <select onChange=${set("promote")}><option value="auto">unless it is worse</option><option value="never">not</option><option value="always">in any case</option></select></label>
      <label class="check"><input type="checkbox" checked onChange=${set("skip_bad", (target) => target.checked)} /> leave out labels and files that cannot be used</label>
    </div><//>`;
}
