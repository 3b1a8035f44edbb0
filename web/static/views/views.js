// All views by their place in the address.

import { Results } from "./results.js";

export const VIEWS = {
  results: { name: "Results", view: Results },
};
