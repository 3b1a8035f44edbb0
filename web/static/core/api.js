// Requests to /api/v1. An error is a Problem with the server's own sentence.

import { queryText } from "./address.js";

const ROOT = "/api/v1/";

export class Problem extends Error {
  constructor(status, detail, facts = {}) {
    super(detail);
    this.status = status;
    this.facts = facts;
  }
}

export const addressOf = (path, query = {}) => ROOT + path + queryText(query);

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
