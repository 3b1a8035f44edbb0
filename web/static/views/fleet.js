// The daemons that share a ledger: who lives, what each serves and does, and who reads which inbox.

import { html } from "../lib/preact-htm.js";
import { get } from "../core/api.js";
import { counted } from "../core/format.js";
import { useData } from "../core/poll.js";
import { Fault, Name } from "../core/widgets.js";

// A checkpoint that the ledger does not know has a digest for a name.
const shortened = (name) => (/^[0-9a-f]{64}$/.test(name ?? "") ? name.slice(0, 8) : name ?? "–");

// Nothing where the ledger is a file of this machine.
export function Fleet() {
  const { data, error } = useData((signal) => get("fleet", {}, { signal }), [], 5);
  if (!data?.length) return error && html`<${Fault} error=${error} />`;
  const live = data.filter((one) => one.state === "live").length;
  return html`<section><h2>${counted(live, "daemon")} at work in this ledger</h2><${Fault} error=${error} />
    <div class="wide" role="region" aria-label="Daemons" tabindex="0"><table class="fleet"><thead><tr><th>daemon</th><th>state</th><th class="n">files a second</th><th class="n">in flight</th><th>reads</th><th>serves</th></tr></thead>
      <tbody>${data.map((one) => html`<tr key=${one.lease}>
        <td><${Name}>${`${one.host}:${one.home}`}<//></td>
        <td><span class="mark ${one.state}">${one.state}</span>${one.state !== "ended" && one.silent_s !== null && html` <span class="dim">heard ${Math.round(one.silent_s)} s ago</span>`}</td>
        <td class="n">${one.state === "live" ? (one.doing["files/s"] ?? "–") : "–"}</td><td class="n">${one.state === "live" ? (one.doing["in flight"] ?? "–") : "–"}</td>
        <td><${Name}>${one.scans.join(", ") || "–"}<//></td><td><${Name}>${shortened(one.checkpoint)}<//></td></tr>`)}</tbody></table></div></section>`;
}
