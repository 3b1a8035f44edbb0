// Keys. Each view has a table of them, from which come its buttons, the help and what is pressed.
//
// A table is a list of {key, name, repeats, hidden}: `key` is one character, or Enter, Escape,
// ArrowUp and the like; digits are meant by their place on the keyboard, letters by what they write.
// `Shift+x` is written so. Nothing fires while somebody types, or with Ctrl, Alt or Meta.

import { useLayoutEffect, useRef } from "../lib/preact-htm.js";

const SWITCH = "clfd:keys-off";
const layers = []; // {table, actions}; the last one is asked first
const PLACES = { live: "l", results: "r", label: "a", verify: "v", checkpoints: "c", activity: "y", help: "h" };

export const GLOBAL_KEYS = [
  { key: "?", name: "the keys of this view" },
  { key: "/", name: "to the filters" },
  { key: "Escape", name: "back" },
  { key: "g", name: "to a view: g and its letter" },
];
export const VIEW_LETTERS = PLACES;

export const areKeysOff = () => localStorage.getItem(SWITCH) === "1";
export const switchKeys = (off) => localStorage.setItem(SWITCH, off ? "1" : "0");

// The key of an event as tables write it.
export function keyOf(event) {
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code);
  const key = digit && !event.shiftKey ? digit[1] : event.key;
  const isLetter = key.length === 1 && key.toLowerCase() !== key.toUpperCase();
  return isLetter ? `${event.shiftKey ? "Shift+" : ""}${key.toLowerCase()}` : key; // Caps Lock changes nothing
}

export const shown = (key) =>
  ({ " ": "Space", Escape: "Esc", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" })[key] ?? key;

// `actions` has a function for each key of the table, by key; those it lacks do nothing.
export function useKeys(table, actions) {
  const layer = useRef({ table, actions }).current;
  layer.table = table;
  layer.actions = actions;
  // Before the next key can come. A parent's come after its children's, and global keys are last asked.
  useLayoutEffect(() => {
    if (table === GLOBAL_KEYS) layers.unshift(layer);
    else layers.push(layer);
    return () => layers.splice(layers.indexOf(layer), 1);
  }, []);
}

export const activeTables = () => layers.map((layer) => layer.table);

let awaited = null;
// The key after this one goes to `take` first, however soon it comes; that says whether it was meant. With null nothing is awaited.
export const awaitKey = (take) => {
  awaited = take;
};

const isTyping = (target) =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) &&
  !/^(checkbox|radio|button|range)$/.test(target.type ?? "");

function press(event) {
  if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return undefined;
  const key = keyOf(event);
  if (isTyping(event.target)) {
    if (key === "Escape") event.target.blur();
    return undefined;
  }
  if (document.querySelector("dialog[open]")) return undefined; // it has keys of its own
  if (areKeysOff() && key.length === 1) return undefined;
  const onButton = event.target instanceof HTMLElement && event.target.closest("a[href],button,input,summary");
  if (onButton && (key === "Enter" || key === " ")) return undefined; // the button's own
  const second = awaited;
  awaited = null;
  if (second?.(key)) return event.preventDefault();
  for (const { table, actions } of [...layers].reverse()) {
    const one = table.find((each) => each.key === key);
    if (!one || !actions[key]) continue;
    event.preventDefault();
    if (!event.repeat || one.repeats) actions[key](event);
    return undefined;
  }
  return undefined;
}

addEventListener("keydown", press);
// A button that the mouse pressed does not keep Enter and Space for itself.
addEventListener("click", (event) => event.detail && event.target instanceof Element && event.target.closest("button")?.blur());
