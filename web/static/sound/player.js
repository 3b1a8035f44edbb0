// Plays a part of a recording through Web Audio: one at a time, wherever on the page it was begun.

import { useEffect, useState } from "../lib/preact-htm.js";
import { samplesOf, WINDOW_S } from "./windows.js";

export const HIGH_PASSES = [0, 200, 1000, 5000, 15000]; // Hz
export const SLOWNESSES = [1, 5, 10, 20];
export const GAINS = [0, 10, 20, 30, 40]; // dB
const AHEAD_S = 1.5; // that are handed to the audio clock before they are due
const BEGIN_S = 0.005;
const LOWEST_HZ = 3000; // of an AudioBuffer
const TAPS = 16; // of the low-pass, for each sample that is left out, and one

const settings = { gain: 0, highPass: 0, slow: 1, loop: false };
const listeners = new Set();
const followers = new Set();
let graph = null;
let run = null; // what plays: {digest, start, end, pieces, sources}
let last = null; // what `play` was asked for last
let error = null;
let isBlocked = false;

// From `at`, or the start, to the end. `onPlay` is called once it is heard. Before the first key or click browsers let
// nothing be heard: it begins with that.
async function play(digest, start, end, { at = start, onPlay } = {}) {
  stop();
  error = null;
  last = [digest, start, end, { at, onPlay }];
  isBlocked = navigator.userActivation?.hasBeenActive === false;
  if (isBlocked) {
    for (const kind of ["keydown", "pointerup"]) addEventListener(kind, unblock);
    return changed();
  }
  const { audio, input } = opened();
  const own = { digest, start, end, pieces: [], sources: new Set(), wake: () => {} };
  run = own;
  changed();
  requestAnimationFrame(follow);
  try {
    let from = at;
    let due = 0;
    while (run === own) {
      const to = Math.min(end, (Math.floor(from / WINDOW_S + 1e-6) + 1) * WINDOW_S);
      const piece = await samplesOf(digest, from, to);
      if (run !== own) return undefined;
      if (!piece.samples.length) break;
      const isFirst = !own.pieces.length;
      due = sound(own, audio, input, piece, Math.max(due, audio.currentTime + BEGIN_S));
      if (isFirst) onPlay?.();
      from = piece.end;
      if (from >= end - 1 / piece.rate || piece.end < to - 0.01) {
        if (!settings.loop) break;
        from = start;
      }
      await rest(own, due - audio.currentTime - AHEAD_S);
    }
    if (run === own) await rest(own, (own.pieces.at(-1)?.due ?? 0) - audio.currentTime);
  } catch (problem) {
    if (run === own) error = problem;
  }
  if (run === own) stop();
  return undefined;
}

function stop() {
  if (!run) return;
  for (const source of run.sources) source.stop();
  run.wake();
  run = null;
  changed();
}

// Plays it or, where just that plays, stops; without arguments what was played last.
function toggle(digest, start, end, options) {
  if (isPlaying(digest, start, end)) stop();
  else if (digest === undefined) replay();
  else play(digest, start, end, options);
}

const replay = () => last && play(...last);

function unblock() {
  if (!navigator.userActivation.hasBeenActive) return;
  for (const kind of ["keydown", "pointerup"]) removeEventListener(kind, unblock);
  if (isBlocked) replay();
}

// Any of gain, highPass, slow, loop; what plays goes on with them.
function set(some) {
  const before = settings.slow;
  if (Object.entries(some).every(([name, value]) => settings[name] === value)) return;
  Object.assign(settings, some);
  if (graph) tune();
  if (run && before !== settings.slow) play(run.digest, run.start, run.end, { at: position() ?? run.start });
  changed();
}

// Where it is, in seconds of the recording; null while nothing is heard.
function position() {
  if (!run || !graph) return null;
  const now = graph.audio.currentTime - (graph.audio.outputLatency || 0);
  const piece = run.pieces.findLast((one) => one.at <= now) ?? run.pieces[0];
  return piece ? Math.min(piece.end, Math.max(piece.start, piece.start + (now - piece.at) / piece.slow)) : null;
}

function isPlaying(digest, start, end) {
  if (!run) return false;
  return digest === undefined || (run.digest === digest && run.start === start && run.end === end);
}

function state() {
  return { ...settings, error, isBlocked, digest: run?.digest ?? null, start: run?.start, end: run?.end };
}

export const player = { play, stop, toggle, replay, set, position, state, isPlaying };

// The state, again whenever it changes.
export function usePlayer() {
  const [now, setNow] = useState(state);
  useEffect(() => {
    const listen = () => setNow(state());
    listeners.add(listen);
    return () => listeners.delete(listen);
  }, []);
  return now;
}

// `tell(second, digest)` at each frame while it plays, then once with null.
export function onPosition(tell) {
  followers.add(tell);
  return () => followers.delete(tell);
}

const changed = () => listeners.forEach((listen) => listen());

function follow() {
  followers.forEach((tell) => tell(position(), run?.digest));
  if (run) requestAnimationFrame(follow);
}

// Seconds until the run goes on; a stop ends them.
function rest(own, seconds) {
  return new Promise((resolve) => {
    own.wake = resolve;
    setTimeout(resolve, Math.max(0, 1000 * seconds));
  });
}

function opened() {
  if (!graph) {
    if (navigator.audioSession) navigator.audioSession.type = "playback"; // else the silent switch of iOS mutes it
    const audio = new AudioContext();
    const [first, second] = [0, 0].map(() => new BiquadFilterNode(audio, { type: "highpass", frequency: 0 }));
    const gain = new GainNode(audio);
    const limit = new DynamicsCompressorNode(audio, { threshold: -3, knee: 0, ratio: 20, attack: 0.001, release: 0.1 });
    first.connect(second).connect(gain).connect(limit).connect(audio.destination);
    graph = { audio, input: first, filters: [first, second], gain };
    tune();
  }
  graph.audio.resume();
  return graph;
}

function tune() {
  graph.gain.gain.value = 10 ** (settings.gain / 20);
  for (const filter of graph.filters) filter.frequency.value = settings.highPass / settings.slow;
}

// Has a piece played from `at` of the audio clock on; returns when it ends.
function sound(own, audio, input, { samples, rate, start, end }, at) {
  const { slow } = settings;
  const source = new AudioBufferSourceNode(audio, { buffer: bufferOf(audio, samples, rate, slow), playbackRate: 1 / slow });
  source.connect(input);
  source.start(at);
  source.onended = () => own.sources.delete(source);
  own.sources.add(source);
  const due = at + (samples.length / rate) * slow;
  own.pieces = [...own.pieces.filter((one) => one.due > audio.currentTime - 1), { start, end, at, due, slow }];
  return due;
}

// What lies above half the rate of the sound card would be heard at another pitch: it is left out. Rates that no buffer
// may have are doubled.
function bufferOf(audio, samples, rate, slow) {
  const every = Math.floor(rate / slow / audio.sampleRate);
  const times = Math.ceil(LOWEST_HZ / rate);
  let heard = every > 1 ? thinned(samples, every) : samples;
  if (times > 1) heard = Float32Array.from({ length: samples.length * times }, (_, at) => samples[Math.floor(at / times)]);
  const buffer = audio.createBuffer(1, heard.length, (rate * times) / Math.max(1, every));
  buffer.copyToChannel(heard, 0);
  return buffer;
}

function thinned(samples, every) {
  const half = (TAPS * every) / 2;
  const taps = Float32Array.from({ length: 2 * half + 1 }, (_, at) => {
    const x = ((at - half) * 0.9) / every;
    const sinc = x ? Math.sin(Math.PI * x) / (Math.PI * x) : 1;
    return (sinc * 0.9 * (0.54 + 0.46 * Math.cos((Math.PI * (at - half)) / half))) / every;
  });
  const heard = new Float32Array(Math.floor(samples.length / every));
  for (let at = 0; at < heard.length; at += 1) {
    const first = at * every - half;
    let sum = 0;
    for (let tap = Math.max(0, -first); tap < taps.length && first + tap < samples.length; tap += 1) sum += taps[tap] * samples[first + tap];
    heard[at] = sum;
  }
  return heard;
}
