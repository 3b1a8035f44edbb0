// Results: the list of recordings by filters; several can be labelled at once.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/preact-htm.js";
import { addressOf, get, post } from "../core/api.js";
import { change } from "../core/address.js";
import { count, counted } from "../core/format.js";
import { useKeys } from "../core/keys.js";
import { label as say, remember, undo } from "../core/labels.js";
import { useData } from "../core/poll.js";
import { Ask, Fault, KeyButton, Link, Name, tell } from "../core/widgets.js";
import { FilterBar, filtersOf, set } from "./filter_bar.js";
import { Confidences, Days } from "./histograms.js";
import { open, play, Rows, tellFault, useCurrent, wasPlayed } from "./rows.js";

const PAGE = 100;
const MOST_AT_ONCE = 10_000;
const EXAMPLES = 10;
const FORMATS = ["csv", "json", "jsonl", "parquet", "raven", "audacity", "kaleidoscope"];
const WIDE = ["time", "path", "answer", "confidence", "human", "site", "level", "novelty"];

export const KEYS = [
  { key: "j", name: "next row", repeats: true },
  { key: "k", name: "row before", repeats: true },
  { key: "ArrowDown", name: "next row", repeats: true, hidden: true },
  { key: "ArrowUp", name: "row before", repeats: true, hidden: true },
  { key: " ", name: "play and stop" },
  { key: "Enter", name: "open the recording" },
  { key: "x", name: "select" },
  { key: "Shift+x", name: "select up to here" },
  { key: "*", name: "select the page; again: all that fit" },
  { key: "l", name: "label: write which" },
  { key: "c", name: "the answer is right" },
  { key: "u", name: "undo" },
  { key: "n", name: "next page" },
  { key: "b", name: "page before" },
  ...[..."123456789"].map((key) => ({ key, name: `label: the ${key}. of the commonest`, hidden: true })),
];

export function Results({ query, who }) {
  const filters = filtersOf(query);
  const asked = { ...filters, sort: query.sort };
  const parts = [JSON.stringify(asked)];
  const list = useData((signal) => get("recordings", { ...asked, limit: PAGE, after: query.after }, { signal }), [...parts, query.after]);
  const hasRows = !!list.data; // the first ones wait for nothing else
  const total = useData(async (signal) => hasRows && get("recordings/total", filters, { signal }), [...parts, hasRows]);
  const histograms = useData(async (signal) => hasRows && get("histograms", filters, { signal }), [...parts, hasRows]);
  const known = useData((signal) => get("labels/known", {}, { signal }), []);
  const names = (known.data ?? []).map((one) => one.label);
  const [given, setGiven] = useState({}); // what was said here, by the id of the recording
  const items = (list.data?.items ?? []).map((one) => (one.id in given ? { ...one, human_label: given[one.id] } : one));
  const current = useCurrent(items, Number(query.row) || null);
  const selection = useSelection(items, current, parts[0]);
  const labelling = useLabelling({ items, seen: list.data?.seen, current, selection, filters, total: total.data, given, setGiven, who });
  const pages = usePages(query, list.data?.next, parts[0]);
  const down = () => (current.at === items.length - 1 && list.data?.next ? pages.next() : current.move(1));
  const up = () => (current.at === 0 && pages.before ? pages.before() : current.move(-1));
  const enter = () => {
    if (!current.one) return;
    change({ row: current.one.id }, { replace: true });
    open(current.one);
  };
  const hear = () => play(current.one).catch(tellFault);
  const actions = {
    j: down, k: up, ArrowDown: down, ArrowUp: up, " ": hear, Enter: enter,
    x: () => current.one && selection.turn(current.one), "Shift+x": selection.range, "*": selection.star,
    l: labelling.write, c: labelling.confirm, u: labelling.undo, n: pages.next, b: pages.before,
    ...Object.fromEntries(names.slice(0, 9).map((name, at) => [at + 1, () => labelling.give(name)])),
  };
  useKeys(KEYS, actions);
  const button = (k, text, props = {}) => html`<${KeyButton} k=${k} onPress=${actions[k]} ...${props}>${text}<//>`;
  const cannot = { disabled: who.read_only || !(current.one || selection.n) };
  return html`<h1 class="hidden">Results</h1>
    <${FilterBar} query=${query} labels=${names}>
    ${histograms.data && html`<div class="brushes">
      ${query.time !== "recorded" && html`<${Days} days=${histograms.data.days} isExact=${histograms.data.are_days_exact} query=${query} onChoose=${(since, until) => set({ since, until })} />`}
      <${Confidences} bins=${histograms.data.bins} isExact=${histograms.data.are_bins_exact} read=${histograms.data.n_read} query=${query}
        onChoose=${(min_confidence, max_confidence) => set({ min_confidence, max_confidence })} /></div>`}<//>
    <div class="tools"><p class="row">${button("x", "Select")}${button("*", selection.isAll ? "All that fit" : "Page", { pressed: selection.isAll })}
        ${button(" ", "Play", { disabled: !current.one?.digest })}${button("Enter", "Open", { disabled: !current.one })}
        ${button("c", "Right", cannot)}${button("l", "Label", cannot)}${button("u", "Undo", { disabled: who.read_only })}
        <span class="dim" aria-live="polite">${selection.isAll ? `all ${number(total.data)} selected` : selection.n ? `${selection.n} selected` : ""}</span></p>
      <p class="row digits">${names.slice(0, 9).map((name, at) => html`<${KeyButton} k=${String(at + 1)} onPress=${() => labelling.give(name)} ...${cannot}><${Name}>${name}<//><//>`)}</p></div>
    <${Fault} error=${list.error} />
    ${items.length
      ? html`<${Rows} items=${items} columns=${columnsOf(items, query)} current=${current.one} onCurrent=${current.set} marked=${selection.isAll ? new Set(items.map((one) => one.id)) : selection.ids} onMark=${selection.turn} caption="Recordings" />`
      : list.data && html`<${NothingFits} filters=${filters} />`}
    <p class="row foot">${button("b", query.after ? "Page before" : "First page", { disabled: !pages.before })}${button("n", "Next page", { disabled: !list.data?.next })}
      <span>${total.data && `${items.length} of ${number(total.data)}`}</span></p>
    <${Export} asked=${asked} />
    ${labelling.dialog}`;
}

const number = (total) => (total ? `${total.is_exact ? "" : "at least "}${counted(total.n, "recording")}` : "");

// Those that say nothing in any row are left out.
function columnsOf(items, query) {
  const has = { novelty: (one) => one.novelty !== null, level: (one) => one.rms_dbfs !== null, site: (one) => one.site };
  const wide = query.time === "recorded" ? ["began", ...WIDE.slice(1)] : WIDE;
  return wide.filter((name) => !has[name] || items.some(has[name]));
}

// The page before is known when it was seen; else there is the first one.
function usePages(query, next, about) {
  const seen = useRef([]).current;
  useEffect(() => () => seen.splice(0), [about]);
  return {
    next: next && (() => {
      seen.push(query.after ?? "");
      change({ after: next, row: "" });
      scrollTo(0, 0);
    }),
    before: query.after && (() => change({ after: seen.pop() ?? "", row: "" })),
  };
}

// Selected recordings, by id: of this page and others; or all that fit the filters.
function useSelection(items, current, about) {
  const [chosen, setChosen] = useState(new Map());
  const [isAll, setAll] = useState(false);
  const last = useRef(null);
  const clear = () => {
    setChosen(new Map());
    setAll(false);
  };
  useEffect(clear, [about]);
  const add = (some) => setChosen(new Map([...chosen, ...some.map((one) => [one.id, one])]));
  const turn = (one) => {
    setAll(false);
    last.current = one.id;
    const rest = new Map(chosen);
    if (!rest.delete(one.id)) rest.set(one.id, one);
    setChosen(rest);
  };
  const range = () => {
    const from = items.findIndex((one) => one.id === last.current);
    if (from < 0 || current.at < 0) return;
    add(items.slice(Math.min(from, current.at), Math.max(from, current.at) + 1));
  };
  const star = () => (items.length && items.every((one) => chosen.has(one.id)) ? setAll(!isAll) : add(items));
  return { ids: new Set(chosen.keys()), all: [...chosen.values()], n: chosen.size, isAll, turn, range, star, clear };
}

function useLabelling({ items, seen, current, selection, filters, total, given, setGiven, who }) {
  const [dialog, setDialog] = useState(null); // {isWriting} or {name, examples}
  const acts = useRef([]).current;
  const write = () => !who.read_only && (current.one || selection.n) && setDialog({ isWriting: true });
  const give = (name) => {
    if (who.read_only) return;
    if (selection.isAll) askForAll(name);
    else giveTo(selection.n ? selection.all : [current.one].filter(Boolean), () => name);
  };
  const giveTo = (some, nameOf) => {
    const fit = some.filter((one) => one.digest && nameOf(one));
    if (!fit.length) return;
    const different = new Set(fit.map(nameOf));
    keep(fit, different.size, nameOf);
    for (const name of different) {
      const parts = fit.filter((one) => nameOf(one) === name);
      const way = fit.length > 1 ? "bulk" : wasPlayed(parts[0]) ? "listened" : "looked";
      say(parts.map(({ digest }) => ({ digest, start_s: 0, end_s: 0, seen })), name, way).catch(tellFault);
    }
    tell(fit.length === 1 ? `labelled: ${nameOf(fit[0])}` : `labelled ${counted(fit.length, "recording")}`);
    if (selection.n) selection.clear();
    else current.move(1);
  };
  const keep = (some, n, nameOf) => {
    acts.push({ n, before: some.map((one) => [one.id, one.human_label]) });
    setGiven((before) => ({ ...before, ...Object.fromEntries(some.map((one) => [one.id, nameOf(one)])) }));
  };
  const askForAll = (name) => {
    if (!total?.is_exact || total.n > MOST_AT_ONCE) {
      tell(`at most ${count(MOST_AT_ONCE)} at once; narrow the filters`, "fault");
      return;
    }
    setDialog({ name, examples: items.slice(0, EXAMPLES) });
  };
  const giveToAll = async (name) => {
    try {
      const answer = await post("labels/matching", { id: crypto.randomUUID(), label: name, expected: total.n }, { query: filters });
      remember(answer.written.map((one) => one.id));
      tell(`labelled ${counted(total.n, "recording")}; u takes it back`);
      keep(items, 1, () => name);
      selection.clear();
    } catch (error) {
      tellFault(error);
    }
  };
  const takeBack = async () => {
    if (who.read_only) return;
    const act = acts.pop() ?? { n: 1, before: [] };
    for (let turn = 0; turn < act.n; turn += 1) {
      if (await undo()) continue;
      if (act.before.length) acts.push({ ...act, n: act.n - turn });
      return;
    }
    setGiven((before) => ({ ...before, ...Object.fromEntries(act.before) }));
  };
  const close = (act) => {
    setDialog(null);
    if (act) act();
  };
  return {
    write, give, undo: takeBack,
    confirm: () => !who.read_only && giveTo(selection.n ? selection.all : [current.one].filter(Boolean), (one) => (one.labels ?? []).map((each) => each.label).join(";") || one.label),
    dialog: dialog && (dialog.isWriting
      ? html`<${WhichLabel} onAnswer=${(name) => close(name && (() => give(name)))} />`
      : html`<${Ask} title=${`Label ${counted(total.n, "recording")} “${dialog.name}”?`} yes="Label all" onAnswer=${(yes) => close(yes && (() => giveToAll(dialog.name)))}>
          <p>Nobody has listened to them, and that is kept with each label. Among them:</p>
          <ul>${dialog.examples.map((one) => html`<li><${Name}>${one.path}<//> <span class="dim"><${Name}>${one.label}<//></span></li>`)}</ul><//>`),
  };
}

// The names that are known stand in the list of the filter bar.
function WhichLabel({ onAnswer }) {
  const dialog = useRef(null);
  const input = useRef(null);
  useLayoutEffect(() => dialog.current.showModal(), []); // before the next key can come
  return html`<dialog ref=${dialog} onClose=${() => onAnswer(dialog.current.returnValue === "yes" && input.current.value.trim())}>
    <form method="dialog"><h2>Label</h2><p><input ref=${input} list="labels" autofocus autocomplete="off" maxlength="200" aria-label="Label, or several: rain;wind" /></p>
      <p class="row"><button type="button" onClick=${() => dialog.current.close("no")}>Cancel</button><button value="yes" class="strong">Label</button></p></form></dialog>`;
}

function Export({ asked }) {
  const [isOpen, setOpen] = useState(false);
  const shown = useData(async (signal) => isOpen && get("recordings/command", asked, { signal }), [JSON.stringify(asked), isOpen]);
  const text = shown.data?.command;
  return html`<details class="export" onToggle=${(event) => setOpen(event.target.open)}><summary>Export all that fit</summary>
    <p class="row">${FORMATS.map((format) => html`<a href=${addressOf("recordings/export", { ...asked, format })} download>${format}</a>`)}</p>
    ${text && html`<p class="row"><code>${text}</code><button onClick=${() => navigator.clipboard.writeText(text).then(() => tell("copied"))}>Copy</button></p>`}</details>`;
}

const NothingFits = ({ filters }) => (Object.keys(filters).length
  ? html`<p>Nothing fits these filters.</p>`
  : html`<p>No recording yet: drop audio files into the inbox, and they are answered while <code>clfd run</code> is there. <${Link} view="help">First steps<//></p>`);
