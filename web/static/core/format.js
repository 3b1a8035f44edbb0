// Numbers and times as people read them, in the zone of the browser.

const number = new Intl.NumberFormat("en");
const time = new Intl.DateTimeFormat("sv", { dateStyle: "short", timeStyle: "medium" });

export const count = (n) => (n === null || n === undefined ? "–" : number.format(n));
export const counted = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
export const sure = (p) => (p === null || p === undefined ? "–" : p.toFixed(3));
export const share = (p) => (p === null || p === undefined ? "–" : `${(100 * p).toFixed(1)} %`);
export const moment = (stamp) => (stamp ? time.format(new Date(stamp)) : "–");
export const hertz = (hz) => (hz >= 1000 ? `${+(hz / 1000).toFixed(1)} kHz` : `${Math.round(hz)} Hz`);

// 0:07.5, 12:03, 1:02:03; with tenths below a minute.
export function length(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const tenths = seconds < 60;
  const rest = tenths ? (seconds % 60).toFixed(1).padStart(4, "0") : String(Math.floor(seconds % 60)).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

export function ago(stamp) {
  const seconds = Math.max(0, (Date.now() - new Date(stamp)) / 1000);
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return moment(stamp);
}
