// The list of recordings.

import { html } from "../lib/preact-htm.js";
import { get } from "../core/api.js";
import { moment, sure } from "../core/format.js";
import { useData } from "../core/poll.js";
import { Fault, Link, Name } from "../core/widgets.js";

export function Results({ query }) {
  const { data, error } = useData((signal) => get("recordings", query, { signal }), [JSON.stringify(query)]);
  return html`<h1>Results</h1><${Fault} error=${error} />
    <table><thead><tr><th>time</th><th>path</th><th>label</th><th class="n">confidence</th></tr></thead>
    <tbody>${data?.items.map((one) => html`<tr key=${one.id}><td>${moment(one.classified_at)}</td>
      <td><${Link} view="recording" part=${one.id}><${Name}>${one.path}<//><//></td>
      <td><${Name}>${one.label}<//></td><td class="n">${sure(one.confidence)}</td></tr>`)}</tbody></table>`;
}
