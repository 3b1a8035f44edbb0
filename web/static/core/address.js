// The state of a view is its address: /VIEW/PART?name=value. Back and forward work by themselves.

import { useEffect, useState } from "../lib/preact-htm.js";

const EVENT = "clfd:address";

const decoded = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // somebody wrote a % by hand
  }
};

// {view, part, query}; a query value is a text, or a list where the name stands several times.
export function current() {
  const [view = "", ...rest] = location.pathname.split("/").filter(Boolean).map(decoded);
  const query = {};
  for (const [name, value] of new URLSearchParams(location.search)) {
    query[name] = name in query ? [query[name], value].flat() : value;
  }
  return { view: view || "live", part: rest.join("/"), query };
}

// A query as text, with its ?; lists become repeated parameters, and what is empty is left out.
export function queryText(query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) {
      if (one !== undefined && one !== null && one !== "" && one !== false) parameters.append(name, one);
    }
  }
  const text = parameters.toString();
  return text && `?${text}`;
}

export const pathOf = (view, part = "", query = {}) => `/${view}${part !== "" ? `/${encodeURIComponent(part)}` : ""}${queryText(query)}`;

export function go(view, part = "", query = {}) {
  history.pushState(null, "", pathOf(view, part, query));
  dispatchEvent(new Event(EVENT));
}

// Changes parameters of this view; empty ones go. In place of the entry in the history, or after it.
export function change(query, { replace = false } = {}) {
  const now = current();
  const path = pathOf(now.view, now.part, { ...now.query, ...query });
  history[replace ? "replaceState" : "pushState"](null, "", path);
  dispatchEvent(new Event(EVENT));
}

export function useAddress() {
  const [address, setAddress] = useState(current);
  useEffect(() => {
    const follow = () => setAddress(current());
    addEventListener("popstate", follow);
    addEventListener(EVENT, follow);
    return () => {
      removeEventListener("popstate", follow);
      removeEventListener(EVENT, follow);
    };
  }, []);
  return address;
}

// A link inside the page. Other buttons and modifiers do what they do everywhere.
export function follow(event, view, part, query) {
  if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(view, part, query);
}
