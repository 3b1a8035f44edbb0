// What people say of sounds. Each answer is an event with an id, sent at once; one that could not
// be written is kept in the browser, shown, and sent again until it is, so that none is lost.
//
// A part is {digest, start_s, end_s, seen}: from 0 to 0 is the whole; `seen` is the number of the
// event that its author knew of. Where somebody else has said something since, it is a conflict.

import { html, useEffect, useState } from "../lib/preact-htm.js";
import { post } from "./api.js";
import { counted } from "./format.js";
import { tell } from "./widgets.js";

const KEPT = "clfd:unwritten:"; // and the id: another tab has events of its own
const UNDOABLE = "clfd:undoable";
const RETRY_MS = 3000;
const REFUSALS = new Set([400, 404, 405, 409, 413, 422]);
const listeners = new Set();
const numbers = new Map(); // of the newest event of a part, by its key
let unwritten = Object.keys(localStorage).filter((name) => name.startsWith(KEPT)).map((name) => JSON.parse(localStorage.getItem(name)));
let conflicts = [];
let sending = Promise.resolve();
let undoing = Promise.resolve();
let failure = ""; // why the newest try failed
let retry = 0; // the timer, while the server does not answer

const keyOf = ({ digest, start_s, end_s }) => `${digest}:${start_s}:${end_s}`;
const changed = () => listeners.forEach((listen) => listen());

export const label = (parts, text, way) => say(parts, { say: "label", label: text }, way);
// One act for both: what is so, and what is not.
export const sort = (right, wrong, text, way) =>
  sayEach([...right.map((part) => [part, { say: "label", label: text }]), ...wrong.map((part) => [part, { say: "not", label: text }])], way);
export const none = (parts, way) => label(parts, "none", way);
export const not = (part, text, way) => say([part], { say: "not", label: text }, way);
export const unsure = (part, way) => say([part], { say: "unsure" }, way);

const say = (parts, what, way) => sayEach(parts.map((part) => [part, what]), way);

// Says of each part what stands beside it, as one act, which one undo takes back. Resolves when it was sent:
// to whether none of it was refused.
async function sayEach(pairs, way) {
  const events = pairs.map(([{ digest, start_s = 0, end_s = 0, seen = 0 }, what]) => ({
    id: crypto.randomUUID(), digest, start_s, end_s, seen, way, ...what,
  }));
  remember(events.map((one) => one.id));
  events.forEach((one) => localStorage.setItem(KEPT + one.id, JSON.stringify(one)));
  unwritten = [...unwritten, ...events];
  changed();
  await send();
  return !events.some((one) => refused.has(one.id));
}

// Takes back the newest act that was not taken back yet, one after the other however fast they are asked for;
// gives the events, or null where none is or the server does not answer.
export function undo() {
  undoing = undoing.then(takeBack);
  return undoing;
}

async function takeBack() {
  const ids = undoable().pop();
  if (!ids) {
    tell("there is nothing to undo");
    return null;
  }
  try {
    await send();
    const answer = await post("labels/undo", { ids });
    keepUndoable(undoable().filter((act) => act[0] !== ids[0])); // others may have come meanwhile
    note(answer.written);
    tell(answer.conflicts.length ? "somebody has said something else since" : "taken back");
    return answer.written;
  } catch (error) {
    tell(`not taken back: ${error.message}`, "fault");
    return null;
  }
}

const undoable = () => JSON.parse(sessionStorage.getItem(UNDOABLE) ?? "[]");
const keepUndoable = (acts) => sessionStorage.setItem(UNDOABLE, JSON.stringify(acts.slice(-2000)));

// An act that was written otherwise, such as one by a filter, can be undone too.
export function remember(ids) {
  keepUndoable([...undoable(), ids]);
}

function send() {
  sending = sending.then(sendAll);
  return sending;
}

const refused = new Set(); // ids of what would be refused again

async function sendAll() {
  clearTimeout(retry);
  let most = 500;
  while (unwritten.length) {
    const some = unwritten.slice(0, most);
    const events = some.map((one) => ({ ...one, seen: Math.max(numbers.get(keyOf(one)) ?? 0, one.seen ?? 0) }));
    try {
      const answer = await post("labels", { events });
      note(answer.written);
      addConflicts(answer.conflicts);
    } catch (error) {
      if (!REFUSALS.has(error.status)) { // nobody answers, or nobody is signed in
        retry = setTimeout(send, RETRY_MS);
        failure = error.message;
        return changed();
      }
      if (some.length > 1) {
        most = 1; // which of them it is
        continue;
      }
      refused.add(some[0].id);
      tell(`not written: ${error.message}`, "fault");
    }
    failure = "";
    some.forEach((one) => localStorage.removeItem(KEPT + one.id));
    unwritten = unwritten.slice(some.length);
    changed();
  }
  return undefined;
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
    ${unwritten.length > (failure ? 0 : 1) && html`<p>${counted(unwritten.length, "answer")} not written yet; kept here, and tried again${failure && `: ${failure}`}</p>`}
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
