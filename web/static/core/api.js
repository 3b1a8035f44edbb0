// Requests to /api/v1. An error is a Problem with the server's own sentence.

const ROOT = "/api/v1/";

export class Problem extends Error {
  constructor(status, detail, facts = {}) {
    super(detail);
    this.status = status;
    this.facts = facts;
  }
}

// The address of a request; lists become repeated parameters, and what is empty is left out.
export function addressOf(path, query = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) {
      if (one !== undefined && one !== null && one !== "" && one !== false) parameters.append(name, one);
    }
  }
  const text = parameters.toString();
  return ROOT + path + (text ? `?${text}` : "");
}

export const get = (path, query, options) => ask(addressOf(path, query), options);
export const post = (path, body = {}, options) => send("POST", path, body, options);
export const remove = (path, options) => send("DELETE", path, undefined, options);

function send(method, path, body, { query, ...options } = {}) {
  const headers = { "Content-Type": "application/json" };
  const content = body === undefined ? undefined : JSON.stringify(body);
  return ask(addressOf(path, query), { ...options, method, headers, body: content });
}

// The answer as JSON. Throws Problem; its status is 0 where nobody answered.
async function ask(address, options = {}) {
  const response = await respond(address, options);
  return response.status === 204 ? null : response.json();
}

// The response itself, for what is no JSON. Throws Problem.
export async function respond(address, options = {}) {
  let response;
  try {
    response = await fetch(address, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "the page's server does not answer; is `clfd web` still running?");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Problem(response.status, problem.detail ?? response.statusText, problem);
}
