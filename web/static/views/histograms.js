// Bars that are a brush: drag over some of them, or press one, to keep what they count.

import { html, useRef, useState } from "../lib/preact-htm.js";
import { count } from "../core/format.js";

const WIDTH = 600;
const HEIGHT = 60;
const MOST_BARS = 120;
const LEAST_SLOTS = 14; // a single day is no wall
const DAY_MS = 86_400_000;

// `bars` are {n, text, is_chosen}; `onChoose(first, last)` gets places among them.
export function Bars({ bars, title, end: ending, onChoose }) {
  const [drag, setDrag] = useState(null);
  const svg = useRef(null);
  const most = Math.max(1, ...bars.map((one) => one.n));
  const slots = Math.max(bars.length, LEAST_SLOTS);
  const step = WIDTH / slots;
  const placeOf = (event) => {
    const box = svg.current.getBoundingClientRect();
    return Math.max(0, Math.min(bars.length - 1, Math.floor(((event.clientX - box.left) / box.width) * slots)));
  };
  const begin = (event) => {
    svg.current.setPointerCapture(event.pointerId);
    setDrag([placeOf(event), placeOf(event)]);
  };
  const end = () => {
    if (drag) onChoose(Math.min(...drag), Math.max(...drag));
    setDrag(null);
  };
  const isIn = (at) => (drag ? at >= Math.min(...drag) && at <= Math.max(...drag) : bars[at].is_chosen);
  const height = (n) => (n ? Math.max(1.5, (HEIGHT * n) / most) : 0);
  return html`<figure class="bars"><figcaption>${title}</figcaption>
    <svg ref=${svg} viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${spoken(title, bars)}
      onPointerDown=${begin} onPointerMove=${(event) => drag && setDrag([drag[0], placeOf(event)])} onPointerUp=${end} onPointerCancel=${() => setDrag(null)}>
      ${bars.map((one, at) => html`<g class=${isIn(at) ? "in" : ""}><title>${one.text}: ${count(one.n)}</title>
        <rect class="hit" x=${at * step} y="0" width=${step} height=${HEIGHT} />
        <rect x=${at * step + step * 0.08} y=${HEIGHT - height(one.n)} width=${step * 0.84} height=${height(one.n)} /></g>`)}</svg>
    <div class="ends"><span>${bars[0]?.text}</span><span>${ending}</span></div></figure>`;
}

function spoken(title, bars) {
  const most = bars.reduce((best, one) => (one.n > best.n ? one : best), bars[0]);
  return most ? `${title}; most at ${most.text}: ${count(most.n)}` : title;
}

const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10);

export function Days({ days, isExact, query, onChoose }) {
  const known = days.filter((one) => one.value);
  if (!known.length) return null;
  const first = Date.parse(known[0].value);
  const n = Math.round((Date.parse(known[known.length - 1].value) - first) / DAY_MS) + 1;
  const each = Math.ceil(n / MOST_BARS);
  const counts = new Array(Math.ceil(n / each)).fill(0);
  known.forEach((one) => (counts[Math.floor((Date.parse(one.value) - first) / DAY_MS / each)] += one.n));
  const begins = (at) => dayOf(first + at * each * DAY_MS);
  const bars = counts.map((number, at) => ({
    n: number, text: begins(at),
    is_chosen: !!(query.since || query.until) && `${begins(at)}T00` >= (query.since ?? "") && `${begins(at)}T00` < (query.until ?? "U"),
  }));
  return html`<${Bars} bars=${bars} end=${bars.length > 1 ? dayOf(Date.parse(known[known.length - 1].value)) : ""} title=${`days (UTC)${isExact ? "" : ", at most"}`}
    onChoose=${(from, to) => onChoose(`${begins(from)}T00:00Z`, `${begins(to + 1)}T00:00Z`)} />`;
}

export function Confidences({ bins, isExact, read, query, onChoose }) {
  const edge = (at) => (at / bins.length).toFixed(2);
  const low = Number(query.min_confidence || 0);
  const high = Number(query.max_confidence || 1);
  const isBound = !!(query.min_confidence || query.max_confidence);
  const bars = bins.map((n, at) => ({ n, text: edge(at), is_chosen: isBound && edge(at) >= low - 1e-9 && edge(at + 1) <= high + 1e-9 }));
  return html`<${Bars} bars=${bars} end="1.00" title=${`confidence${isExact ? "" : ` of the newest ${count(read)}`}`}
    onChoose=${(from, to) => onChoose(from ? edge(from) : "", to === bins.length - 1 ? "" : edge(to + 1))} />`;
}
