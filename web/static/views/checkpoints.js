// Checkpoints: which there are, which one serves, and the trainings that make them.

import { html, useEffect, useState } from "../lib/preact-htm.js";
import { get, post, remove } from "../core/api.js";
import { change } from "../core/address.js";
import { count, counted, moment, share } from "../core/format.js";
import { useKeys } from "../core/keys.js";
import { useData } from "../core/poll.js";
import { Ask, Fault, KeyButton, Name, tell } from "../core/widgets.js";
import { Comparison } from "./comparison.js";
import { TrainDialog, Trainings } from "./trainings.js";

export const KEYS = [
  { key: "j", name: "next checkpoint", repeats: true },
  { key: "k", name: "checkpoint before", repeats: true },
  { key: "a", name: "activate it (asks)" },
  { key: "b", name: "roll back to the previous one (asks)" },
  { key: "c", name: "compare it with the active one" },
  { key: "o", name: "open its report" },
  { key: "r", name: "rescore what others answered (asks)" },
  { key: "n", name: "train from the labels" },
  { key: "s", name: "stop the training that runs (asks)" },
];

export function Checkpoints({ part, query, who, status }) {
  const [question, ask] = useState(null);
  const trainings = useData((signal) => get("trainings", {}, { signal }), [], 1);
  const runs = trainings.data?.items.find((one) => one.state === "running");
  const served = status?.served_checkpoint;
  const list = useData((signal) => get("checkpoints", {}, { signal }), [served, status?.checkpoint, runs?.id]);
  const chosen = list.data?.find((one) => one.checkpoint === part) ?? list.data?.[0];
  const active = list.data?.find((one) => one.state === "active");
  const mayChange = !who.read_only;
  const move = (step) => () => {
    const next = list.data?.[list.data.indexOf(chosen) + step];
    if (next) choose(next.checkpoint);
  };
  const actions = {
    j: move(1),
    k: move(-1),
    c: chosen && active && chosen !== active && (() => change({ compare: query.compare ? "" : chosen.checkpoint })),
    o: chosen?.has_report && (() => window.open(reportOf(chosen), "_blank", "noopener")),
    a: mayChange && chosen && !chosen.refused && chosen.state !== "active" && (() => ask("activate")),
    b: mayChange && list.data?.some((one) => one.state === "previous") && (() => ask("rollback")),
    r: mayChange && active && (() => ask("rescore")),
    n: mayChange && !runs && (() => ask("train")),
    s: mayChange && runs && (() => ask("stop")),
  };
  useKeys(KEYS, actions);
  const button = (key, text, kind) => html`<${KeyButton} k=${key} kind=${kind} disabled=${!actions[key]} onPress=${actions[key]}>${text}<//>`;
  const shared = { question, ask, chosen, active, runs, trainings, refresh: list.refresh };
  return html`<h1>Checkpoints</h1>
    <p class="row">${mayChange && html`${button("n", "Train", "strong")} ${button("b", "Roll back")} ${button("r", "Rescore")}`}</p>
    <${Fault} error=${list.error} />
    <section>
      ${!list.data && !list.error && html`<p class="dim">Reading the checkpoints …</p>`}
      ${list.data && !list.data.length && html`<p>There is no checkpoint yet. <code>clfd init</code> brings one along; a training makes one.</p>`}
      ${list.data?.length > 0 && html`<div class="wide"><table class="checkpoints">
        <thead><tr><th>name</th><th>state</th><th class="n">quality</th><th class="n">labels</th><th>task</th><th>made</th></tr></thead>
        <tbody>${list.data.map((one) => html`<${Row} key=${one.checkpoint} one=${one} isChosen=${one === chosen} />`)}</tbody></table></div>`}
    </section>
    ${chosen && html`<${Details} key=${chosen.checkpoint} one=${chosen}>
      ${mayChange && button("a", "Activate")} ${button("o", "Report")} ${button("c", "Compare with the active one")}<//>`}
    ${query.compare && active && html`<${Comparison} key=${query.compare} a=${active.checkpoint} b=${query.compare} />`}
    <${Trainings} trainings=${trainings} chosen=${query.training}>${mayChange && runs && button("s", "Stop")}<//>
    ${question && html`<${Question} ...${shared} />`}`;
}

const choose = (name) => {
  history.replaceState(null, "", `/checkpoints/${encodeURIComponent(name)}${location.search}`);
  dispatchEvent(new PopStateEvent("popstate"));
};

const reportOf = (one) => `/api/v1/checkpoints/${encodeURIComponent(one.checkpoint)}/report`;

// As `clfd checkpoints list` tells it: of the held-out recordings, else the mean over folds.
export function quality(one) {
  const [own, mean, of] = one.task === "multi" ? [one.val_macro_ap, one.mean_macro_ap, "macro AP"] : [one.val_accuracy, one.mean_accuracy, ""];
  const shown = (value) => (of ? `${of} ${value.toFixed(3)}` : share(value));
  if (typeof own === "number") return shown(own);
  return typeof mean === "number" ? `${shown(mean)} over folds` : "not measured";
}

function Row({ one, isChosen }) {
  const refusal = one.refused ?? one.refused_by_daemon;
  return html`<tr aria-selected=${isChosen} onClick=${() => choose(one.checkpoint)}>
    <td><button type="button" class="plain" onClick=${() => choose(one.checkpoint)}><${Name}>${one.checkpoint}<//></button></td>
    <td>${one.state && html`<span class="mark ${one.state}">${one.state}</span> `}${one.served && html`<span class="mark served">served</span> `}
      ${refusal && html`<span class="mark refused" title=${refusal}>refused</span>`}</td>
    ${one.refused ? html`<td colspan="4" class="dim"><${Name}>${refusal}<//></td>` : html`
      <td class="n">${quality(one)}</td><td class="n">${count(one.labels)}</td><td>${one.task}</td><td>${moment(one.created_at)}</td>`}</tr>`;
}

function Details({ one, children }) {
  const { data, error } = useData((signal) => get(`checkpoints/${encodeURIComponent(one.checkpoint)}`, {}, { signal }), [one.checkpoint]);
  const facts = data && factsOf(one, data);
  return html`<section><h2><${Name}>${one.checkpoint}<//></h2><p class="row">${children}</p>
    ${one.refused_by_daemon && html`<p class="fault">The daemon refused it: <${Name}>${one.refused_by_daemon}<//></p>`}
    <${Fault} error=${error} />
    ${!data && !error && html`<p class="dim">Reading it …</p>`}
    ${facts && html`<dl class="facts">${facts.filter(([, value]) => value).map(([name, value]) => html`<dt>${name}</dt><dd><${Name}>${value}<//></dd>`)}</dl>`}</section>`;
}

// A file from elsewhere may say anything: what is not as expected is left out.
function factsOf(one, { labels, audio_format: audio, training, lineage, digest }) {
  const verdict = training?.promotion;
  return [
    ["labels", labels?.join(", ")],
    ["hears", audio && `clips of ${audio.clip_seconds} s at ${audio.sample_rate_hz} Hz, ${audio.n_mels} bands from ${audio.min_hz} to ${audio.max_hz} Hz`],
    ["quality", quality(one)],
    ["gate", verdict && `${verdict.promoted ? "promoted" : "not promoted"}: ${verdict.reason}`],
    ["learned from", one.train_files !== null && `${counted(one.train_files, "file")}, ${count(one.val_files)} held out (${one.labels_file})`],
    ["recipe", one.recipe && `${one.recipe}, ${counted(one.epochs, "epoch")}, widths ${one.widths}`],
    ["took", typeof one.seconds === "number" && `${count(Math.round(one.seconds))} s`],
    ["parents", lineage?.map((parent) => parent.name).join(", ")],
    ["attribution", typeof training?.attribution === "string" && training.attribution],
    ["digest", digest],
  ];
}

function Question({ question, ask, chosen, active, runs, trainings, refresh }) {
  const send = (path, body, options) => async (yes) => {
    ask(null);
    if (!yes) return;
    try {
      const told = await (options?.method === "DELETE" ? remove(path) : post(path, body));
      tell(told.lines.at(-1));
      trainings.refresh();
      refresh();
    } catch (error) {
      tell(error.message, "fault");
    }
  };
  switch (question) {
    case "activate":
      return html`<${Ask} title="Activate this checkpoint?" yes="Activate" onAnswer=${send(`checkpoints/${chosen.checkpoint}/activate`)}>
        <p>A daemon that runs takes <${Name}>${chosen.checkpoint}<//> over in place of <${Name}>${active?.checkpoint ?? "none"}<//>. Rolling back undoes it.</p><//>`;
    case "rollback":
      return html`<${Ask} title="Roll back?" yes="Roll back" onAnswer=${send("checkpoints/rollback")}>
        <p>The previous checkpoint becomes the active one. A second rollback undoes this.</p><//>`;
    case "rescore":
      return html`<${Ask} title="Rescore?" yes="Rescore" onAnswer=${send("rescore", { stale: true })}>
        <p>Recordings that another checkpoint answered are queued for <${Name}>${active.checkpoint}<//>. Their answers stay until there are new ones.</p><//>`;
    case "stop":
      return html`<${Ask} title="Stop the training?" yes="Stop it" onAnswer=${send(`trainings/${runs.id}`, null, { method: "DELETE" })}>
        <p>What it has learned is lost for the page.</p><//>`;
    default:
      return html`<${TrainDialog} byService=${trainings.data?.labels_file} onAnswer=${(yes, options) => send("trainings", options)(yes)} />`;
  }
}
