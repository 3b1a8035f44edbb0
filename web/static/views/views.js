// All views by their place in the address.

import { Checkpoints } from "./checkpoints.js";
import { Results } from "./results.js";

export const VIEWS = {
  checkpoints: { name: "Checkpoints", view: Checkpoints },
  results: { name: "Results", view: Results },
};
