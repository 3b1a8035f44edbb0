// The filters of `clfd results`, as controls over the address.

import { html, useRef } from "../lib/preact-htm.js";
import { change } from "../core/address.js";
import { Name } from "../core/widgets.js";

const FIRST = { after: "", row: "" }; // other filters begin at the first page
const number = { type: "number", step: "0.01", min: 0, max: 1 };
const level = { type: "number", step: "0.1" };
// The name of the parameter, which is that of the option; `minor` ones stand behind "More".
export const FILTERS = [
  { name: "label", text: "label", several: true, list: "labels" },
  { name: "path", text: "path", placeholder: "yard/*" },
  { name: "since", text: "since", placeholder: "2h, 3d, 2026-01-31" },
  { name: "until", text: "until", placeholder: "yesterday" },
  { name: "status", text: "status", options: ["done", "failed", "pending", "superseded", "all"] },
  { name: "unlabelled", text: "nobody labelled", flag: true },
  { name: "labelled", text: "somebody did", flag: true },
  { name: "wrong", text: "and says otherwise", flag: true },
  { name: "min_confidence", text: "confidence from", ...number },
  { name: "max_confidence", text: "to", ...number },
  { name: "author", text: "labelled by", minor: true },
  { name: "min_level", text: "dBFS from", ...level, minor: true },
  { name: "max_level", text: "to", ...level, minor: true },
  { name: "min_novelty", text: "novelty from", ...number, minor: true },
  { name: "clipped", text: "clipped", flag: true, minor: true },
  { name: "checkpoint", text: "checkpoint", minor: true },
  { name: "time", text: "times are of", options: ["classified", "recorded"], minor: true },
];
export const SORTS = ["newest", "oldest", "confidence", "path"];

export const set = (values) => change({ ...values, ...FIRST });

// Those that the address has, without the page and the row.
export function filtersOf(query) {
  return Object.fromEntries(FILTERS.map(({ name }) => [name, query[name]]).filter(([, value]) => value?.length));
}

const isNarrow = () => matchMedia("(max-width: 40rem)").matches;

// `children` are further ways to choose. On a phone all of it is folded.
export function FilterBar({ query, labels, children }) {
  const minor = FILTERS.filter((one) => one.minor);
  const controls = (some) => some.map((one) => html`<${Control} key=${one.name} filter=${one} value=${query[one.name]} />`);
  const n = Object.keys(filtersOf(query)).length;
  return html`<details class="folding" open=${!isNarrow()}><summary>Filters${n ? ` (${n})` : ""}</summary>
    <div class="filters" data-filters role="search" aria-label="Filters">
    ${controls(FILTERS.filter((one) => !one.minor))}
    <${Choice} text="sort" options=${SORTS} value=${query.sort} onChoose=${(sort) => set({ sort })} />
    <details open=${minor.some((one) => query[one.name])}><summary>More</summary><div class="filters">${controls(minor)}</div></details>
    ${n > 0 && html`<button onClick=${() => set(Object.fromEntries(FILTERS.map(({ name }) => [name, ""])))}>Clear</button>`}
    <datalist id="labels">${labels.map((name) => html`<option value=${name} />`)}</datalist></div>${children}</details>`;
}

// The first option is what goes without saying, and is not in the address.
export function Choice({ text, options, value, onChoose }) {
  return html`<label>${text} <select onChange=${(event) => onChoose(event.target.value === options[0] ? "" : event.target.value)}>
    ${options.map((one) => html`<option value=${one} selected=${one === (value ?? options[0])}>${one}</option>`)}</select></label>`;
}

function Control({ filter, value }) {
  const { name, text, flag, options, several, minor, ...rest } = filter;
  const input = useRef(null);
  const take = (event) => set({ [name]: event.target.value.trim() });
  if (flag) return html`<label><input type="checkbox" checked=${!!value} onChange=${(event) => set({ [name]: event.target.checked })} /> ${text}</label>`;
  if (options) return html`<${Choice} text=${text} options=${options} value=${value} onChoose=${(one) => set({ [name]: one })} />`;
  if (!several) return html`<label>${text} <input ...${rest} autocomplete="off" value=${value ?? ""} onChange=${take} /></label>`;
  const chosen = [value ?? []].flat();
  const add = () => {
    const one = input.current.value.trim();
    input.current.value = "";
    if (one && !chosen.includes(one)) set({ [name]: [...chosen, one] });
  };
  return html`<label>${text} <input ref=${input} ...${rest} autocomplete="off" placeholder=${chosen.length ? "or" : "any"} onChange=${add} /></label>
    ${chosen.map((one) => html`<button key=${one} class="chip" aria-label=${`Without ${one}`} onClick=${() => set({ [name]: chosen.filter((each) => each !== one) })}><${Name}>${one}<//> ×</button>`)}`;
}
