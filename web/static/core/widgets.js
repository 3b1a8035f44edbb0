// What several views are made of.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/preact-htm.js";
import { follow, pathOf } from "./address.js";
import { shown } from "./keys.js";

// A button with its key written on it. `k` is the key, as in the table of the view.
export function KeyButton({ k, onPress, pressed, disabled, kind = "", title, children }) {
  return html`<button type="button" class=${kind} aria-pressed=${pressed} aria-keyshortcuts=${k} disabled=${disabled}
    title=${title} onClick=${onPress}><span>${children}</span>${k && html`<kbd>${shown(k)}</kbd>`}</button>`;
}

export function Link({ view, part, query, children, kind, ...rest }) {
  return html`<a href=${pathOf(view, part, query)} class=${kind} ...${rest}
    onClick=${(event) => follow(event, view, part, query)}>${children}</a>`;
}

// What strangers named: a path or a label, kept apart from the direction of the text around it.
export const Name = ({ children, title }) => html`<bdi title=${title}>${children}</bdi>`;

export const Fault = ({ error }) => error && html`<p class="fault" role="alert">${error.message}</p>`;

// A question about something that is not undone by a key. Escape and the first button say no.
export function Ask({ title, yes, no = "Cancel", onAnswer, children }) {
  const dialog = useRef(null);
  useLayoutEffect(() => {
    dialog.current.showModal();
  }, []);
  return html`<dialog ref=${dialog} onClose=${() => onAnswer(dialog.current.returnValue === "yes")}>
    <form method="dialog"><h2>${title}</h2>${children}
      <p class="row"><button value="no" autofocus>${no}</button><button value="yes" class="strong">${yes}</button></p>
    </form></dialog>`;
}

// A line that tells, politely, what was done last; it goes by itself.
let tellAll = () => {};
export const tell = (text, kind = "") => tellAll({ text, kind, at: Date.now() });

export function Told() {
  const [told, setTold] = useState(null);
  tellAll = setTold;
  useEffect(() => {
    if (!told) return undefined;
    const timer = setTimeout(() => setTold(null), told.kind === "fault" ? 12000 : 5000);
    return () => clearTimeout(timer);
  }, [told]);
  return html`<div class="told ${told?.kind ?? ""}" role="status" aria-live="polite">${told?.text}</div>`;
}
