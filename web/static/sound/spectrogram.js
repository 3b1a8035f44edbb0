// A spectrogram with its axes, the place that is heard, and the part that is dragged.

import { html, useEffect, useRef, useState } from "../lib/preact-htm.js";
import { hertz, length } from "../core/format.js";
import { Fault } from "../core/widgets.js";
import { onPosition } from "./player.js";
import { levelAt, paint, spectrumOf } from "./spectrum.js";
import { prefetch } from "./windows.js";

const MOST_COLUMNS = 1600;
const DRAG_PIXELS = 4;
const STEPS = [1, 2, 5];

// `part` is {start, end} in seconds. `onPart` gets one that was dragged, `onPlace` the second that was clicked.
export function Spectrogram({ digest, start, end, duration, label, fft, low = 0, high = 0, contrast = 70, gain = 0, height = 160,
  part, onPart, onPlace, children }) {
  const canvas = useRef(null);
  const [spectrum, setSpectrum] = useState(null);
  const [error, setError] = useState(null);
  const until = duration ? Math.min(end, duration) : end;
  useEffect(() => {
    let isWanted = true;
    const columns = Math.max(16, Math.min(MOST_COLUMNS, Math.round(canvas.current.clientWidth * devicePixelRatio)));
    spectrumOf(digest, start, until, columns, fft).then((one) => {
      if (!isWanted) return;
      setError(null);
      setSpectrum(one);
      prefetch(digest, start - (end - start), start);
      if (!duration || end < duration) prefetch(digest, end, Math.min(end + end - start, duration || Infinity));
    }, (problem) => isWanted && (setSpectrum(null), setError(problem)));
    return () => { isWanted = false; };
  }, [digest, start, until, fft]);
  const view = spectrum && { ...spectrum, low, high: Math.min(high || Infinity, spectrum.rate / 2) };
  useEffect(() => {
    if (!view) return;
    canvas.current.height = Math.round(height * devicePixelRatio);
    paint(canvas.current, spectrum, { low, high: view.high, contrast, gain });
    canvas.current.dataset.painted = `${digest} ${start}`;
  }, [spectrum, low, high, contrast, gain, height]);
  return html`<figure class="spectrogram">
    <div class="field" style=${{ height: `${height}px` }}>
      <canvas ref=${canvas} role="img" aria-label=${view ? twin(view, label) : "Spectrogram"} />
      ${view && html`<${Axes} view=${view} /><${Playhead} digest=${digest} view=${view} />
        <${Pointer} view=${view} part=${part} onPart=${onPart} onPlace=${onPlace} />`}
      ${children}
    </div>
    <${Fault} error=${error} />
    <figcaption class="dim">${view && twin(view, label)}</figcaption>
  </figure>`;
}

// The picture in words.
function twin({ start, end, band, bins, rate, loudest }, label) {
  const parts = [`${length(start)} to ${length(end)}`, loudest > -120 ? `loudest near ${hertz((band / bins) * (rate / 2))}` : "silence"];
  return [...parts, label].filter(Boolean).join(", ");
}

function Axes({ view: { start, end, low, high } }) {
  return html`<div class="axis seconds" aria-hidden="true">${ticks(start, end, 6).map((at) => html`
      <span style=${{ left: `${(100 * (at - start)) / (end - start)}%` }}>${secondText(at, end - start)}</span>`)}</div>
    <div class="axis hertz" aria-hidden="true">${ticks(low, high, 5).map((at) => html`
      <span style=${{ bottom: `${(100 * (at - low)) / (high - low)}%` }}>${hertz(at)}</span>`)}</div>`;
}

const secondText = (at, span) => (span < 2 ? `${at.toFixed(2)} s` : at < 60 ? `${+at.toFixed(1)} s` : length(at));

// About `n` round numbers between two.
export function ticks(from, to, n) {
  const rough = (to - from) / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = (STEPS.find((one) => one * power >= rough) ?? 10) * power;
  const first = Math.ceil(from / step - 1e-9);
  return Array.from({ length: Math.floor(to / step + 1e-9) - first + 1 }, (_, at) => (first + at) * step);
}

function Playhead({ digest, view: { start, end } }) {
  const line = useRef(null);
  useEffect(() => onPosition((second, heard) => {
    const isHere = heard === digest && second !== null && second >= start && second <= end;
    line.current.style.visibility = isHere ? "visible" : "hidden";
    if (isHere) line.current.style.left = `${(100 * (second - start)) / (end - start)}%`;
  }), [digest, start, end]);
  return html`<div class="playhead" ref=${line} style=${{ visibility: "hidden" }} />`;
}

function Pointer({ view, part, onPart, onPlace }) {
  const area = useRef(null);
  const [place, setPlace] = useState(null); // under the cursor: {second, hz}
  const [dragged, setDragged] = useState(null); // {from, to, x}
  const { start, end, low, high } = view;
  const at = (event) => {
    const box = area.current.getBoundingClientRect();
    const share = (value) => Math.min(1, Math.max(0, value));
    return { second: start + share((event.clientX - box.left) / box.width) * (end - start), hz: high - share((event.clientY - box.top) / box.height) * (high - low) };
  };
  const begin = (event) => {
    if (event.button) return;
    area.current.setPointerCapture(event.pointerId);
    const { second } = at(event);
    setDragged({ from: second, to: second, x: event.clientX, isPart: false });
  };
  const move = (event) => {
    setPlace(at(event));
    if (dragged) setDragged({ ...dragged, to: at(event).second, isPart: dragged.isPart || Math.abs(event.clientX - dragged.x) > DRAG_PIXELS });
  };
  const finish = () => {
    if (dragged?.isPart) onPart?.({ start: Math.min(dragged.from, dragged.to), end: Math.max(dragged.from, dragged.to) });
    else if (dragged) onPlace?.(dragged.from);
    setDragged(null);
  };
  const drawn = dragged?.isPart && onPart ? { start: Math.min(dragged.from, dragged.to), end: Math.max(dragged.from, dragged.to) } : part;
  const left = drawn && Math.max(start, drawn.start);
  const right = drawn && Math.min(end, drawn.end);
  return html`<div class="pointer" ref=${area} onPointerDown=${begin} onPointerMove=${move} onPointerUp=${finish}
      onPointerCancel=${() => setDragged(null)} onPointerLeave=${() => setPlace(null)}>
    ${drawn && right > left && html`<div class="part" style=${{ left: `${(100 * (left - start)) / (end - start)}%`, width: `${(100 * (right - left)) / (end - start)}%` }} />`}
    ${place && html`<output class="values">${secondText(place.second, 1)} · ${hertz(place.hz)} · ${Math.round(levelAt(view, place.second, place.hz))} dB</output>`}
  </div>`;
}
