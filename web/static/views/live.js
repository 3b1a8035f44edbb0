// Live: how things stand, and what comes in, as it comes.

import { html, useRef, useState } from "../lib/preact-htm.js";
import { get, post } from "../core/api.js";
import { count, counted, length } from "../core/format.js";
import { useKeys } from "../core/keys.js";
import { useData } from "../core/poll.js";
import { Ask, Fault, KeyButton, Link, Name, tell } from "../core/widgets.js";
import { Fleet } from "./fleet.js";
import { open, play, Rows, tellFault, useCurrent } from "./rows.js";

const KEPT = 200;

export const KEYS = [
  { key: "p", name: "hold the stream, and go on" },
  { key: "j", name: "next row", repeats: true },
  { key: "k", name: "row before", repeats: true },
  { key: "ArrowDown", name: "next row", repeats: true, hidden: true },
  { key: "ArrowUp", name: "row before", repeats: true, hidden: true },
  { key: "Enter", name: "open the recording" },
  { key: " ", name: "play and stop" },
];

export function Live({ status, who }) {
  const { rows, skipped, error } = useStream();
  const [held, setHeld] = useState(null);
  const items = held ?? rows;
  const current = useCurrent(items);
  const fresh = held ? rows.filter((one) => !held.includes(one)).length : 0;
  const hold = () => setHeld(held ? null : rows);
  const down = () => current.move(1);
  const up = () => current.move(-1);
  useKeys(KEYS, { p: hold, j: down, k: up, ArrowDown: down, ArrowUp: up, Enter: () => open(current.one), " ": () => play(current.one).catch(tellFault) });
  return html`<h1 class="hidden">Live</h1>
    ${status && html`<${Headline} status=${status} who=${who} />`}
    <${Fleet} />
    <section><h2>What comes in</h2>
      <p class="row"><${KeyButton} k="p" onPress=${hold} pressed=${!!held}>${held ? `Go on${fresh ? ` (${fresh} new)` : ""}` : "Hold"}<//>
        <${KeyButton} k="j" onPress=${down}>Down<//><${KeyButton} k="k" onPress=${up}>Up<//>
        <${KeyButton} k=" " onPress=${() => play(current.one).catch(tellFault)} disabled=${!current.one?.digest}>Play<//>
        <${KeyButton} k="Enter" onPress=${() => open(current.one)} disabled=${!current.one}>Open<//>
        ${skipped > 0 && html`<span class="dim">${counted(skipped, "answer")} came too fast to be shown; <${Link} view="results">Results<//> has them</span>`}</p>
      <${Fault} error=${error} />
      ${items.length
        ? html`<${Rows} items=${items} columns=${["since", "path", "answer", "confidence"]} current=${current.one} onCurrent=${current.set} caption="What comes in" />`
        : !error && html`<${NothingYet} status=${status} />`}</section>`;
}

// The newest rows first; what waits is replaced when it is answered.
function useStream() {
  const kept = useRef({ after: undefined, rows: [], skipped: 0 }).current;
  const { error } = useData(async (signal) => {
    const answer = await get("live", { after: kept.after }, { signal });
    kept.after = answer.next;
    kept.skipped += answer.skipped;
    if (answer.items.length) {
      const ids = new Set(answer.items.map((one) => one.id));
      kept.rows = [...answer.items.reverse(), ...kept.rows.filter((one) => !ids.has(one.id))].slice(0, KEPT);
    }
    return answer.next;
  }, [], 1);
  return { ...kept, error };
}

function Headline({ status, who }) {
  const [isAsked, setAsked] = useState(false);
  const ignored = Object.entries(status.ignored_suffixes ?? {});
  const [scanned, setScanned] = useState(null); // the lines of `clfd scan`
  const say = (path, body) => post(path, body).then((answer) => tell(answer.lines.at(-1)), tellFault);
  const scan = () => {
    tell("looking through the inbox");
    post("daemon/scan").then((answer) => setScanned(answer.lines), tellFault);
  };
  const retry = (yes) => {
    setAsked(false);
    if (yes) say("retry", { filters: {} });
  };
  const reasons = [
    status.silent_since && `The daemon does not respond since ${status.silent_since}`,
    status.died_at && !status.running && `The last daemon crashed or was killed after ${status.died_at}`,
    status.ledger_error, status.checkpoint_refused, ...(status.faults ?? []),
  ].filter(Boolean);
  const cells = [
    ["waiting", count(status.pending)], ["done", count(status.done)],
    ["failed", html`<${Link} view="results" query=${{ status: "failed" }}>${count(status.failed)}<//>`],
    ["left out", count(status.ignored)],
    ["clips a second", status.running ? count(Math.round(status.clips_per_s ?? 0)) : "–"],
    ["time left", status.eta_s ? length(status.eta_s) : "–"],
  ];
  return html`<section class="headline ${reasons.length ? "faulty" : ""}">
    <h2>${headline(status)}</h2>
    ${reasons.map((one) => html`<p class="fault" role="alert">${one}</p>`)}
    <dl class="figures">${cells.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <p class="dim">${status.served_checkpoint ?? status.checkpoint
      ? html`Checkpoint <${Name}>${status.served_checkpoint ?? status.checkpoint}<//>${status.device ? ` on ${status.device}` : ""}.` : "No checkpoint: clfd init brings one."}
      ${ignored.length > 0 && html` Left out by suffix: ${ignored.map(([suffix, n]) => `${n} ${suffix}`).join(", ")}.`}
      ${status.last_error && html` Failed last: <${Name}>${status.last_error}<//>`}</p>
    <p class="row">
      <button disabled=${who.read_only} onClick=${() => say(status.paused ? "daemon/resume" : "daemon/pause", {})}>${status.paused ? "Resume" : "Pause"}</button>
      <button disabled=${who.read_only} onClick=${scan}>Scan</button>
      <button disabled=${who.read_only || !status.failed} onClick=${() => setAsked(true)}>Retry failed</button></p>
    ${scanned && html`<details open><summary>What a run would take, wait for and leave out</summary><pre>${scanned.join("\n") || "nothing"}</pre></details>`}
    ${isAsked && html`<${Ask} title=${`Try ${counted(status.failed, "failed recording")} again?`} yes="Retry" onAnswer=${retry}><p>They are read and scored anew.</p><//>`}</section>`;
}

function headline(status) {
  if (status.silent_since) return "The daemon does not respond";
  if (!status.running) return "No daemon runs";
  if (status.paused) return "Paused: nothing is taken in";
  return status.pending ? `${counted(status.pending, "recording")} to go` : "All is answered; listening";
}

const NothingYet = ({ status }) => html`<p>No recording yet. Drop audio files into the inbox${status?.running ? "; they appear here" : html`, then start <code>clfd run</code>`}.
  <${Link} view="help">First steps<//></p>`;
