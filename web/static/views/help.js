// Help: keys of all views, switches, and how to begin.

import { html, useState } from "../lib/preact-htm.js";
import { areKeysOff, GLOBAL_KEYS, shown, switchKeys, useKeys, VIEW_LETTERS } from "../core/keys.js";
import { setTheme, theme } from "../core/theme.js";
import { KeyButton } from "../core/widgets.js";
import { VIEWS } from "./views.js";

export const KEYS = [
  { key: "t", name: "light, dark, or as the system has it" },
];
const THEMES = ["system", "light", "dark"];

export function Help({ status, who }) {
  const [chosen, setChosen] = useState(theme());
  const [areOff, setOff] = useState(areKeysOff());
  const choose = (name) => {
    setTheme(name);
    setChosen(name);
  };
  const next = () => choose(THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length]);
  const turn = () => {
    switchKeys(!areOff);
    setOff(!areOff);
  };
  useKeys(KEYS, { t: next });
  const port = location.port || (location.protocol === "https:" ? 443 : 80);
  return html`<h1>Help</h1>
    <section><h2>First steps</h2><ol>
      <li>Drop audio files into the inbox of the home: they come up in Live while <code>clfd run</code> is there.</li>
      <li>In Results, go through them with <kbd>j</kbd> and <kbd>k</kbd>, hear one with <kbd>Space</kbd>, and say what it is with a digit or <kbd>l</kbd>; <kbd>c</kbd> says that the answer is right.</li>
      <li>In Label, answer the clips that teach the most. In Checkpoints, train from these labels and put the better network into service.</li></ol></section>
    <section><h2>How it looks</h2><p class="row">${THEMES.map((name) => html`<button aria-pressed=${name === chosen} onClick=${() => choose(name)}>${name === "system" ? "as the system" : name}</button>`)}
      <${KeyButton} k="t" onPress=${next}>Next<//></p></section>
    <section><h2>Keys</h2><p><label><input type="checkbox" checked=${!areOff} onChange=${turn} /> Keys that write a letter, a digit or a sign do something</label></p>
      <div class="key-tables"><${KeyTable} name="Everywhere" keys=${[...GLOBAL_KEYS, ...Object.entries(VIEW_LETTERS).filter(([view]) => VIEWS[view]).map(([view, letter]) => ({ key: `g ${letter}`, name: VIEWS[view].name }))]} />
        ${Object.values(VIEWS).map((one) => one.keys && html`<${KeyTable} name=${one.name} keys=${one.keys} />`)}</div></section>
    <section><h2>From another machine</h2><p>The page listens on its own machine alone. Go through ssh, and open the link that <code>clfd web --link</code> prints there:</p>
      <p><code>ssh -L ${port}:127.0.0.1:${port} USER@SERVER</code></p></section>
    <section><h2>About</h2><p>clfd ${status?.version ?? ""}. Signed in as <bdi>${who.author}</bdi>${who.read_only ? "; this page only shows" : ""}.
      For programs: <a href="/api/v1/openapi.json">the API</a>; <code>clfd web --token</code> prints a token.</p></section>`;
}

const KeyTable = ({ name, keys }) => html`<div><h3>${name}</h3><dl class="key-list">${keys.filter((one) => !one.hidden || one.key === "1").map(({ key, name: what }) => html`
  <dt><kbd>${key === "1" ? "1 … 9" : shown(key)}</kbd></dt><dd>${key === "1" ? "one of the commonest labels" : what}</dd>`)}</dl></div>`;
