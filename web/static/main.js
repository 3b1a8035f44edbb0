// The page: who is signed in, which view it is, and what is around every view.

import { html, render, useEffect, useState } from "./lib/preact-htm.js";
import { get, post } from "./core/api.js";
import { current, go, useAddress } from "./core/address.js";
import { activeTables, awaitKey, GLOBAL_KEYS, shown, useKeys, VIEW_LETTERS } from "./core/keys.js";
import { Unwritten } from "./core/labels.js";
import { useData } from "./core/poll.js";
import { apply } from "./core/theme.js";
import { Fault, KeyButton, Link, Told } from "./core/widgets.js";
import { VIEWS } from "./views/views.js";

apply();

function Page() {
  const [who, setWho] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    enter().then(setWho, setError);
  }, []);
  if (error) return html`<main class="door"><h1>clfd</h1><${Fault} error=${error} /></main>`;
  return who && html`<${Views} who=${who} />`;
}

// With the code of a link, which is in no log since it stands behind the #; else with the cookie.
async function enter() {
  const { view } = current();
  const code = location.hash.slice(1);
  if (view !== "in" || !code) return get("session/me");
  history.replaceState(null, "", "/live");
  // A link that was used before is no fault for whoever is signed in.
  return post("session", { code }).catch((error) => get("session/me").catch(() => Promise.reject(error)));
}

function Views({ who }) {
  const address = useAddress();
  const [isHelpOpen, setHelpOpen] = useState(false);
  const [goesTo, setGoesTo] = useState(false);
  const status = useData((signal) => get("status", {}, { signal }), [], 1);
  const View = VIEWS[address.view]?.view;
  useKeys(GLOBAL_KEYS, {
    "?": () => setHelpOpen(!isHelpOpen),
    "/": () => document.querySelector("[data-filters] input, [data-filters] select")?.focus(),
    Escape: () => (isHelpOpen ? setHelpOpen(false) : history.back()),
    g: () => goNext(setGoesTo),
  });
  useEffect(() => {
    document.title = `${VIEWS[address.view]?.name ?? "clfd"} · clfd`;
    setHelpOpen(false);
  }, [address.view]);
  return html`
    <a class="skip" href="#view">To the view</a>
    <header class="bar"><strong>clfd</strong>
      <nav aria-label="Views">${Object.entries(VIEW_LETTERS).map(([view, letter]) => VIEWS[view] && html`
        <${Link} view=${view} aria-current=${view === address.view ? "page" : undefined}>${VIEWS[view].name}<kbd>g ${letter}</kbd><//>`)}</nav>
      <${Daemon} status=${status} />
      <${KeyButton} k="?" onPress=${() => setHelpOpen(!isHelpOpen)}>Keys<//>
    </header>
    <${Unwritten} />
    <main id="view" tabindex="-1">${View
      ? html`<${View} key=${address.view} ...${address} who=${who} status=${status.data} />`
      : html`<h1>There is no view “${address.view}”</h1><p><${Link} view="live">To what comes in<//></p>`}</main>
    ${goesTo && html`<${GoTo} />`}
    ${isHelpOpen && html`<${KeyHelp} />`}
    <${Told} />`;
}

// After g: the letter of a view.
function goNext(setGoesTo) {
  setGoesTo(true);
  const timer = setTimeout(() => {
    setGoesTo(false);
    awaitKey(null);
  }, 2000);
  awaitKey((key) => {
    clearTimeout(timer);
    setGoesTo(false);
    const [view] = Object.entries(VIEW_LETTERS).find(([, letter]) => letter === key) ?? [];
    if (view) go(view);
    return view || key === "Escape";
  });
}

const GoTo = () => html`<div class="goto" role="status">g … ${Object.entries(VIEW_LETTERS).map(([view, letter]) => html`<span><kbd>${letter}</kbd> ${view}</span>`)}</div>`;

function KeyHelp() {
  const rows = activeTables().flat().filter((one) => !one.hidden);
  return html`<aside class="keys" aria-label="Keys"><h2>Keys</h2><dl>${rows.map(({ key, name }) => html`<dt><kbd>${shown(key)}</kbd></dt><dd>${name}</dd>`)}</dl></aside>`;
}

// One line on the daemon, on every view.
function Daemon({ status: { data, error } }) {
  if (error) return html`<span class="daemon off" title=${error.message}>no answer</span>`;
  if (!data) return null;
  const [kind, text] = data.silent_since ? ["off", "does not respond"]
    : !data.running ? ["off", "no daemon runs"]
    : data.paused ? ["wait", "paused"]
    : data.faults?.length ? ["wait", data.faults[0]]
    : ["on", data.pending ? `${data.pending} waiting` : "listening"];
  return html`<span class="daemon ${kind}" title=${text}>${text}</span>`;
}

render(html`<${Page} />`, document.getElementById("page"));
