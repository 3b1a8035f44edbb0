// Spectra by the worker, and how they are painted.

import { COLOURS } from "./colours.js";
import { prefetch, samplesOf } from "./windows.js";

const WORKER = "/static/sound/spectrogram-worker.js";
const KEPT = 12;
const FRAME_S = 0.023; // 1,024 samples at 44.1 kHz
const spectra = new Map();
const waiting = new Map();
let worker = null;
let newest = 0;
let usual = null; // as the last picture was made

export const FFT_SIZES = [256, 512, 1024, 2048, 4096];

export const fftOf = (rate) => FFT_SIZES.findLast((size) => size <= Math.max(256, rate * FRAME_S * 1.5));

// A promise of {decibels, bins, columns, loudest, band, rate, start, end}: what was received, not what was asked for.
export function spectrumOf(digest, start, end, columns, fft = 0) {
  const key = [digest, start, end, columns, fft].join();
  usual = [columns, fft];
  const promise = spectra.get(key) ?? computed(digest, start, end, columns, fft);
  spectra.delete(key);
  spectra.set(key, promise);
  promise.catch(() => spectra.delete(key));
  if (spectra.size > KEPT) spectra.delete(spectra.keys().next().value);
  return promise;
}

// Samples and spectrum of what is probably looked at next.
export async function prepare(digest, start, end) {
  await prefetch(digest, start, end);
  if (usual) await spectrumOf(digest, start, end, ...usual).catch(() => {});
}

async function computed(digest, start, end, columns, fft) {
  const { samples, ...part } = await samplesOf(digest, start, end);
  if (!samples.length) throw new Error("the recording ends before this place");
  return { ...part, columns, ...(await asked({ samples, columns, fft: fft || fftOf(part.rate) })) };
}

function asked(request) {
  worker ??= begun();
  newest += 1;
  worker.postMessage({ id: newest, ...request });
  return new Promise((resolve, reject) => waiting.set(newest, { resolve, reject }));
}

// The policy of the page lets this one address through where the name of a script is wanted.
function begun() {
  const policy = globalThis.trustedTypes?.createPolicy("clfd", {
    createScriptURL(address) {
      if (address !== WORKER) throw new TypeError(`${address} is no script of this page`);
      return address;
    },
  });
  const made = new Worker(policy ? policy.createScriptURL(WORKER) : WORKER);
  made.onmessage = ({ data: { id, ...spectrum } }) => {
    waiting.get(id)?.resolve(spectrum);
    waiting.delete(id);
  };
  made.onerror = () => {
    for (const { reject } of waiting.values()) reject(new Error("the spectrogram could not be made"));
    waiting.clear();
  };
  return made;
}

// Fills the canvas with what lies between two frequencies; `contrast` decibels lie between black and the loudest, which
// `gain` decibels make brighter.
export function paint(canvas, spectrum, { low, high, contrast, gain }) {
  const { decibels, bins, columns, loudest, rate } = spectrum;
  canvas.width = columns;
  const height = canvas.height;
  const image = new ImageData(columns, height);
  const pixels = new Uint32Array(image.data.buffer);
  const scale = 255 / contrast;
  const offset = 255 + (gain - loudest) * scale;
  const last = bins - 1;
  for (let y = 0; y < height; y += 1) {
    const place = ((high - ((y + 0.5) / height) * (high - low)) / rate) * 2 * bins;
    const bin = Math.min(last, Math.max(0, Math.floor(place)));
    const next = Math.min(last, bin + 1);
    const rest = Math.min(1, Math.max(0, place - bin));
    for (let x = 0; x < columns; x += 1) {
      const at = x * bins;
      const db = decibels[at + bin] * (1 - rest) + decibels[at + next] * rest;
      pixels[y * columns + x] = COLOURS[Math.max(0, Math.min(255, db * scale + offset)) | 0];
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// The decibels at a second and a frequency.
export function levelAt({ decibels, bins, columns, rate, start, end }, second, hz) {
  const column = Math.min(columns - 1, Math.max(0, Math.floor(((second - start) / (end - start)) * columns)));
  return decibels[column * bins + Math.min(bins - 1, Math.max(0, Math.round((hz / rate) * 2 * bins)))];
}
