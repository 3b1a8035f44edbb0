// Two checkpoints side by side: their trainings, and where their answers differ.

import { html } from "../lib/preact-htm.js";
import { get } from "../core/api.js";
import { count, share, sure } from "../core/format.js";
import { useData } from "../core/poll.js";
import { Fault, Name } from "../core/widgets.js";

export function Comparison({ a, b }) {
  const trainings = useData((signal) => get("compare", { a, b, training: true }, { signal }), [a, b]);
  const answers = useData((signal) => get("compare", { a, b }, { signal }), [a, b]);
  return html`<section class="comparison"><h2>A is active, B is chosen</h2><p class="dim">A <${Name}>${a}<//> · B <${Name}>${b}<//></p>
    <h3>Their answers</h3><${Fault} error=${answers.error} />
    ${answers.data ? html`<${Answers} found=${answers.data} />` : !answers.error && html`<p class="dim">Comparing …</p>`}
    <h3>How they came about</h3><${Fault} error=${trainings.error} />
    ${trainings.data && html`<${Facts} found=${trainings.data} />`}</section>`;
}

function Answers({ found }) {
  return html`<p>They agree on ${count(found.agreed)} of ${count(found.recordings)} recordings (${share(found.agreed / found.recordings)}); mean confidence ${sure(found.a_confidence)} and ${sure(found.b_confidence)}.</p>
    <div class="wide"><table><thead><tr><th>label</th><th class="n">by A</th><th class="n">by B</th><th class="n">by both</th></tr></thead>
    <tbody>${found.labels.map((one) => html`<tr><td><${Name}>${one.label}<//></td><td class="n">${count(one.a)}</td><td class="n">${count(one.b)}</td><td class="n">${count(one.both)}</td></tr>`)}</tbody></table></div>
    ${found.listed.length > 0 && html`<div class="wide"><table><thead><tr><th>recording</th><th>A says</th><th>B says</th></tr></thead>
    <tbody>${found.listed.map((one) => html`<tr><td><${Name}>${one.path}<//></td><td><${Name}>${one.a}<//> ${sure(one.a_confidence)}</td><td><${Name}>${one.b}<//> ${sure(one.b_confidence)}</td></tr>`)}</tbody></table></div>`}`;
}

function Facts({ found }) {
  const cell = (value) => (Array.isArray(value) ? value.join(", ") : typeof value === "number" ? String(+value.toPrecision(5)) : (value ?? ""));
  const shown = found.different.filter((name) => name !== "checkpoint" && !name.endsWith("digest"));
  return html`<div class="wide"><table><thead><tr><th></th><th>A</th><th>B</th></tr></thead>
    <tbody>${shown.map((name) => html`<tr><td>${name.replaceAll("_", " ")}</td><td><${Name}>${cell(found.a[name])}<//></td><td><${Name}>${cell(found.b[name])}<//></td></tr>`)}</tbody></table></div>`;
}
