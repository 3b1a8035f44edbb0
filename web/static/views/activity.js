// Activity: what was heard how often in a period, what failed, and whether answers drift.

import { html } from "../lib/preact-htm.js";
import { addressOf, get, post } from "../core/api.js";
import { change } from "../core/address.js";
import { count, counted, share, sure } from "../core/format.js";
import { useKeys } from "../core/keys.js";
import { useData } from "../core/poll.js";
import { Fault, KeyButton, Link, Name, tell } from "../core/widgets.js";
import { Choice } from "./filter_bar.js";
import { tellFault } from "./rows.js";

const PERIODS = ["1d", "7d", "30d", "90d", "365d"];
const SHOWN = 12; // labels and sites; the report has all
const HUES = 6;

export const KEYS = [
  { key: "[", name: "a shorter period" },
  { key: "]", name: "a longer period" },
  { key: "o", name: "the whole report" },
];

export function Activity({ query, who }) {
  const since = query.since ?? "7d";
  const asked = { since, until: query.until, time: query.time, clips: query.clips };
  const { data, error, isLoading } = useData((signal) => get("report", asked, { signal }), [JSON.stringify(asked)]);
  const at = PERIODS.indexOf(since);
  const to = (place) => change({ since: PERIODS[Math.max(0, Math.min(PERIODS.length - 1, place))] });
  const actions = { "[": () => to(at - 1), "]": () => to(at + 1), o: () => window.open(addressOf("report.html", { ...asked }), "_blank", "noopener") };
  useKeys(KEYS, actions);
  return html`<h1>Activity</h1>
    <div class="filters" data-filters role="search" aria-label="Period">
      <${KeyButton} k="[" onPress=${actions["["]} disabled=${at === 0}>Shorter<//>
      <label>since <input value=${since} list="periods" onChange=${(event) => change({ since: event.target.value.trim() })} /></label>
      <${KeyButton} k="]" onPress=${actions["]"]} disabled=${at === PERIODS.length - 1}>Longer<//>
      <label>until <input value=${query.until ?? ""} placeholder="now" onChange=${(event) => change({ until: event.target.value.trim() })} /></label>
      <${Choice} text="times are of" options=${["classified", "recorded"]} value=${query.time} onChoose=${(time) => change({ time })} />
      <label><input type="checkbox" checked=${!!query.clips} onChange=${(event) => change({ clips: event.target.checked })} /> count sounds in recordings</label>
      <${KeyButton} k="o" onPress=${actions.o}>Whole report<//></div>
    <datalist id="periods">${PERIODS.map((name) => html`<option value=${name} />`)}</datalist>
    <${Fault} error=${error} />
    ${isLoading && html`<p class="dim" role="status">Counting …</p>`}
    ${data && !error && html`<${Figures} data=${data} since=${since} who=${who} />`}`;
}

function Figures({ data, since, who }) {
  const { counts, labels, failures, drift } = data;
  const shown = labels.slice(0, SHOWN);
  return html`<section><dl class="figures">
      ${[["done", counts.done], ["failed", counts.failed], ["waiting", counts.pending], ["labelled by people", data.labelled], ["of them answered otherwise", data.corrected]]
        .map(([name, n]) => html`<div><dt>${name}</dt><dd>${count(n)}</dd></div>`)}</dl></section>
    ${shown.length > 0 && html`<section><h2>Labels, and at what hour</h2><${Hours} labels=${shown} since=${since} />
      ${labels.length > SHOWN && html`<p class="dim">and ${counted(labels.length - SHOWN, "rarer label")}; the whole report has them</p>`}</section>
    <section><h2>By day</h2><${ByDay} labels=${shown} /></section>`}
    ${failures.length > 0 && html`<section><h2>Failed</h2><table><thead><tr><th>why</th><th class="n">recordings</th><th>the latest</th></tr></thead>
      <tbody>${failures.map((one) => html`<tr><td>${one.kind || "other"}</td><td class="n">${count(one.number)}</td><td><${Name}>${one.path}<//>: ${one.sentence}</td></tr>`)}</tbody></table>
      <p class="row"><button disabled=${who.read_only} onClick=${() => retry(data)}>Retry these</button><${Link} view="results" query=${{ status: "failed", since: data.since, until: data.until }}>List them<//></p></section>`}
    ${data.sites.length > 1 && html`<section><h2>Sites</h2><table><thead><tr><th>site</th><th class="n">done</th><th class="n">failed</th><th>commonest</th></tr></thead>
      <tbody>${data.sites.slice(0, SHOWN).map((one) => html`<tr><td><${Name}>${one.site || "–"}<//></td><td class="n">${count(one.done)}</td><td class="n">${count(one.failed)}</td><td><${Name}>${Object.keys(one.labels).slice(0, 3).join(", ")}<//></td></tr>`)}</tbody></table></section>`}
    ${drift && html`<section><h2>Drift</h2><p>Against the ${counted(drift.validation_recordings, "recording")} by which the checkpoint was judged, ${share(drift.distance)} of the answers are other ones.</p>
      <table><thead><tr><th>label</th><th class="n">share now</th><th class="n">then</th><th class="n">confidence now</th><th class="n">then</th></tr></thead>
      <tbody>${drift.labels.slice(0, SHOWN).map((one) => html`<tr class=${one.moved ? "moved" : ""}><td><${Name}>${one.label}<//>${one.moved ? " – moved" : ""}</td><td class="n">${share(one.share)}</td><td class="n">${share(one.validation_share)}</td>
        <td class="n">${sure(one.mean_confidence)}</td><td class="n">${sure(one.validation_confidence)}</td></tr>`)}</tbody></table></section>`}
    ${!labels.length && !failures.length && html`<p>Nothing was answered in this period; a longer one may have more.</p>`}`;
}

const retry = (data) => post("retry", { filters: { status: "failed", since: data.since, until: data.until } }).then((answer) => tell(answer.lines.at(-1)), tellFault);

// A row for each label: its bar, and 24 cells that are the darker the more often.
function Hours({ labels, since }) {
  const most = Math.max(...labels.map((one) => one.number));
  const busiest = Math.max(1, ...labels.flatMap((one) => one.by_hour));
  return html`<div class="scroll"><table class="hours"><thead><tr><th>label</th><th class="n">n</th><th></th><th class="n">confidence</th>${[...Array(24).keys()].map((hour) => html`<th class="hour">${hour % 3 ? "" : hour}</th>`)}</tr></thead>
    <tbody>${labels.map((one, at) => html`<tr><td><${Link} view="results" query=${{ label: one.label, since }}><${Name}>${one.label}<//><//></td><td class="n">${count(one.number)}</td>
      <td class="bar-cell"><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="c${(at % HUES) + 1}" width=${(100 * one.number) / most} height="10" /></svg></td><td class="n">${sure(one.mean_confidence)}</td>
      ${one.by_hour.map((n, hour) => html`<td class="hour" title=${`${hour} h: ${count(n)}`}><svg viewBox="0 0 10 10" role="img" aria-label=${`${hour} h: ${n}`}><rect width="10" height="10" fill-opacity=${n ? 0.15 + (0.85 * n) / busiest : 0.04} /></svg></td>`)}</tr>`)}</tbody></table></div>`;
}

// Bars of days, each of the labels in its hue.
function ByDay({ labels }) {
  const days = [...new Set(labels.flatMap((one) => Object.keys(one.by_day)))].sort();
  const of = (day) => labels.reduce((sum, one) => sum + (one.by_day[day] ?? 0), 0);
  const most = Math.max(1, ...days.map(of));
  const width = 600 / Math.max(days.length, 7);
  return html`<svg class="by-day" viewBox="0 0 600 120" preserveAspectRatio="none" role="img" aria-label=${`${counted(days.length, "day")}, ${days[0]} to ${days[days.length - 1]}; at most ${count(most)} a day`}>
    ${days.map((day, at) => {
      let y = 120;
      return html`<g><title>${day}: ${count(of(day))}</title>${labels.map((one, hue) => {
        const height = (120 * (one.by_day[day] ?? 0)) / most;
        y -= height;
        return height > 0 && html`<rect class="c${(hue % HUES) + 1}" x=${at * width} y=${y} width=${width * 0.9} height=${height} />`;
      })}</g>`;
    })}</svg><div class="ends"><span>${days[0]}</span><span>${days[days.length - 1]}</span></div>
    <p class="legend">${labels.map((one, at) => html`<span><svg viewBox="0 0 10 10" aria-hidden="true"><rect class="c${(at % HUES) + 1}" width="10" height="10" /></svg> <${Name}>${one.label}<//></span>`)}</p>`;
}
