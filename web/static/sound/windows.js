// Samples of recordings, in windows of ten seconds at the file's own rate. They are kept while there is room for them.

import { addressOf, respond } from "../core/api.js";

export const WINDOW_S = 10;
const ROOM_BYTES = 64 * 2 ** 20;
const AT_ONCE = 2; // that are fetched for later
const WAITING = 12;
const HIGHEST = 32767;
const windows = new Map(); // promises by digest and number, what was used longest ago first
const sizes = new Map();
const later = []; // the newest last
let running = 0;

// {samples, rate, start, end} of what there is between two seconds; `end` is where the samples end.
export async function samplesOf(digest, start, end) {
  const first = Math.floor(start / WINDOW_S);
  const numbers = Array.from({ length: Math.max(1, Math.ceil(end / WINDOW_S) - first) }, (_, at) => first + at);
  const found = (await Promise.all(numbers.map((number) => windowOf(digest, number)))).filter(Boolean);
  if (!found.length) return { samples: new Float32Array(0), rate: 0, start, end: start };
  const { rate, start: origin } = found[0];
  const begin = Math.round((start - origin) * rate);
  const samples = joined(found.map((one) => one.samples)).subarray(begin, Math.round((end - origin) * rate));
  const from = origin + begin / rate;
  return { samples, rate, start: from, end: from + samples.length / rate };
}

// Has what lies between two seconds fetched while nothing else is. Resolves when it is there; what waits too long never is.
export function prefetch(digest, start, end) {
  const wanted = [];
  for (let number = Math.max(0, Math.floor(start / WINDOW_S)); number * WINDOW_S < end; number += 1) {
    wanted.push(windows.get(`${digest}/${number}`) ?? new Promise((resolve) => later.push({ digest, number, resolve })));
  }
  later.splice(0, later.length - WAITING);
  fetchLater();
  return Promise.all(wanted);
}

function fetchLater() {
  while (running < AT_ONCE && later.length) {
    running += 1;
    const { digest, number, resolve } = later.pop();
    windowOf(digest, number, "low").then(resolve, () => {}).finally(() => {
      running -= 1;
      fetchLater();
    });
  }
}

// A promise of {samples, rate, start}; of null behind the end.
function windowOf(digest, number, priority = "high") {
  const key = `${digest}/${number}`;
  const promise = windows.get(key) ?? fetched(key, digest, number, priority);
  windows.delete(key);
  windows.set(key, promise);
  return promise;
}

async function fetched(key, digest, number, priority) {
  const start = number * WINDOW_S;
  try {
    const response = await respond(addressOf(`media/${digest}/pcm`, { start: String(start), end: start + WINDOW_S }), { priority });
    const header = (name) => Number(response.headers.get(name));
    const scale = header("X-Peak") / HIGHEST;
    const samples = Float32Array.from(new Int16Array(await response.arrayBuffer()), (one) => one * scale);
    sizes.set(key, samples.byteLength);
    makeRoom();
    return { samples, rate: header("X-Rate-Hz"), start: header("X-Start-S") };
  } catch (error) {
    if (number && error.status === 422) return null;
    windows.delete(key);
    throw error;
  }
}

function makeRoom() {
  let bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  for (const key of windows.keys()) {
    if (bytes <= ROOM_BYTES) return;
    if (!sizes.has(key)) continue;
    bytes -= sizes.get(key);
    sizes.delete(key);
    windows.delete(key);
  }
}

function joined(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}
