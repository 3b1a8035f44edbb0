// Spectra of samples, beside the page. Asked {id, samples, fft, columns}, it answers {id, decibels, bins, loudest, band}:
// `decibels` has `bins` numbers for each column from 0 Hz on (0 is a sine of full scale), `loudest` is the highest of
// them and `band` the number of the bin that is loudest all in all.

const MOST_FRAMES = 8; // in a column that is longer than a frame; it shows the loudest of them
const FLOOR = 1e-16;
const plans = new Map();

onmessage = ({ data: { id, samples, fft, columns } }) => {
  const bins = fft / 2;
  const powers = powersOf(samples, fft, columns);
  const sums = new Float64Array(bins);
  let highest = FLOOR;
  for (let at = 0; at < powers.length; at += 1) {
    const power = powers[at];
    if (power > highest) highest = power;
    sums[at % bins] += power;
    powers[at] = 10 * Math.log10(Math.max(power, FLOOR));
  }
  const band = sums.indexOf(Math.max(...sums.subarray(1)));
  postMessage({ id, decibels: powers, bins, loudest: 10 * Math.log10(highest), band }, [powers.buffer]);
};

function powersOf(samples, fft, columns) {
  const plan = planOf(fft);
  const bins = fft / 2;
  const powers = new Float32Array(columns * bins);
  const step = samples.length / columns;
  const frames = Math.min(MOST_FRAMES, Math.max(1, Math.ceil(step / fft)));
  const re = new Float64Array(fft);
  const im = new Float64Array(fft);
  const n = columns * frames;
  for (let at = 0; at < n; at += 2) { // two frames at once, as real and imaginary part
    fill(re, samples, plan, ((at + 0.5) * step) / frames);
    fill(im, samples, plan, ((at + 1.5) * step) / frames);
    transform(re, im, plan);
    const first = Math.floor(at / frames) * bins;
    const second = Math.floor((at + 1) / frames) * bins;
    for (let k = 0; k < bins; k += 1) {
      const j = (fft - k) % fft;
      const a = re[k] + re[j];
      const b = im[k] - im[j];
      const c = im[k] + im[j];
      const d = re[j] - re[k];
      powers[first + k] = Math.max(powers[first + k], (a * a + b * b) * plan.scale);
      if (at + 1 < n) powers[second + k] = Math.max(powers[second + k], (c * c + d * d) * plan.scale);
    }
  }
  return powers;
}

// A frame around a place, in the order in which the transform takes it.
function fill(target, samples, { fft, hann, order }, centre) {
  const first = Math.round(centre) - fft / 2;
  for (let at = 0; at < fft; at += 1) target[order[at]] = (samples[first + at] ?? 0) * hann[at];
}

// Cooley and Tukey's, in place, of what was put in reversed order.
function transform(re, im, { fft, cos, sin }) {
  for (let size = 2; size <= fft; size *= 2) {
    const half = size / 2;
    const stride = fft / size;
    for (let start = 0; start < fft; start += size) {
      for (let k = 0; k < half; k += 1) {
        const even = start + k;
        const odd = even + half;
        const turn = k * stride;
        const real = re[odd] * cos[turn] + im[odd] * sin[turn];
        const imaginary = im[odd] * cos[turn] - re[odd] * sin[turn];
        re[odd] = re[even] - real;
        im[odd] = im[even] - imaginary;
        re[even] += real;
        im[even] += imaginary;
      }
    }
  }
}

function planOf(fft) {
  if (!plans.has(fft)) {
    const places = Array.from({ length: fft }, (_, at) => at);
    const bits = Math.log2(fft);
    const hann = Float64Array.from(places, (at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / fft));
    plans.set(fft, {
      fft,
      hann,
      order: Uint16Array.from(places, (at) => places.slice(0, bits).reduce((sum, bit) => sum | (((at >> bit) & 1) << (bits - 1 - bit)), 0)),
      cos: Float64Array.from(places.slice(0, fft / 2), (at) => Math.cos((2 * Math.PI * at) / fft)),
      sin: Float64Array.from(places.slice(0, fft / 2), (at) => Math.sin((2 * Math.PI * at) / fft)),
      scale: (2 / fft) ** 2, // the window's sum is half the length, a sine's two lines half its height each, and twice a frame is in what is squared
    });
  }
  return plans.get(fft);
}
