// What people say of sounds. Each answer is an event with an id, sent at once; one that could not
// be written is kept in the browser, shown, and sent again until it is, so that none is lost.
//
// A part is {digest, start_s, end_s, seen}: from 0 to 0 is the whole; `seen` is the number of the
// event that its author knew of. Where somebody else has said something since, it is a conflict.

import { html, useEffect, useState } from "../lib/preact-htm.js";
import { post } from "./api.js";
import { tell } from "./widgets.js";

const KEPT = "clfd:unwritten";
const UNDOABLE = "clfd:undoable";
const RETRY_MS = 3000;
const listeners = new Set();
const numbers = new Map(); // of the newest event of a part, by its key
let unwritten = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
let conflicts = [];
let sending = Promise.resolve();

const keyOf = ({ digest, start_s, end_s }) => `${digest}:${start_s}:${end_s}`;
const changed = () => {
  localStorage.setItem(KEPT, JSON.stringify(unwritten));
  listeners.forEach((listen) => listen());
};

export const label = (parts, text, way) => say(parts, { say: "label", label: text }, way);
export const none = (parts, way) => label(parts, "none", way);
export const not = (part, text, way) => say([part], { say: "not", label: text }, way);
export const unsure = (part, way) => say([part], { say: "unsure" }, way);
export const clear = (parts, way) => say(parts, { say: "clear" }, way);

// Says it of each part as one act, which one undo takes back. Resolves when it is written.
function say(parts, what, way) {
  const events = parts.map(({ digest, start_s = 0, end_s = 0, seen = 0 }) => ({
    id: crypto.randomUUID(), digest, start_s, end_s, seen, way, ...what,
  }));
  remember(events.map((one) => one.id));
  unwritten = [...unwritten, ...events];
  changed();
  return send();
}

// Takes back the newest act that was not taken back yet; gives the events, or null where none is.
export async function undo() {
  const acts = JSON.parse(sessionStorage.getItem(UNDOABLE) ?? "[]");
  const ids = acts.pop();
  if (!ids) {
    tell("there is nothing to undo");
    return null;
  }
  await send();
  const answer = await post("labels/undo", { ids });
  sessionStorage.setItem(UNDOABLE, JSON.stringify(acts));
  note(answer.written);
  addConflicts(answer.conflicts);
  tell(answer.conflicts.length ? "somebody has said something else since" : "taken back");
  changed();
  return answer.written;
}

// An act that was written otherwise, such as one by a filter, can be undone too.
export function remember(ids) {
  const acts = JSON.parse(sessionStorage.getItem(UNDOABLE) ?? "[]");
  sessionStorage.setItem(UNDOABLE, JSON.stringify([...acts, ids].slice(-2000)));
}

function send() {
  sending = sending.then(sendAll);
  return sending;
}

async function sendAll() {
  while (unwritten.length) {
    const some = unwritten.slice(0, 500);
    const events = some.map((one) => ({ ...one, seen: numbers.get(keyOf(one)) ?? one.seen }));
    try {
      const answer = await post("labels", { events });
      note(answer.written);
      addConflicts(answer.conflicts);
    } catch (error) {
      if (error.status && error.status < 500 && error.status !== 429) {
        tell(error.message, "fault"); // it would be refused again
      } else {
        changed();
        setTimeout(send, RETRY_MS);
        return;
      }
    }
    unwritten = unwritten.slice(some.length);
    changed();
  }
}

const note = (written) => written.forEach((one) => numbers.set(keyOf(one), one.number));
const addConflicts = (found) => {
  conflicts = [...conflicts, ...found];
};

// What is not written yet, and what met another person's label: a line on every view.
export function Unwritten() {
  const [, setTurn] = useState(0);
  useEffect(() => {
    const listen = () => setTurn((turn) => turn + 1);
    listeners.add(listen);
    send();
    return () => listeners.delete(listen);
  }, []);
  return html`<div class="unwritten" role="alert">
    ${unwritten.length > 1 && html`<p>${unwritten.length} answers are not written yet; they are kept here and tried again</p>`}
    ${conflicts.map((one) => html`<p key=${one.id}>${one.author ?? "Somebody"} said “<bdi>${one.label ?? one.say}</bdi>” of <bdi>${one.path ?? "this sound"}</bdi> before you;
      <button onClick=${() => settle(one, true)}>Keep that</button> <button onClick=${() => settle(one, false)}>Say “<bdi>${one.mine?.label ?? one.mine?.say}</bdi>” all the same</button></p>`)}
  </div>`;
}

function settle(conflict, keeps) {
  conflicts = conflicts.filter((one) => one !== conflict);
  numbers.set(keyOf(conflict), conflict.number);
  if (!keeps) say([{ ...conflict, seen: conflict.number }], { say: conflict.mine.say, label: conflict.mine.label }, conflict.mine.way);
  changed();
}
