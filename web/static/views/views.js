// All views by their place in the address.

import { Recording } from "./recording.js";
import { Results } from "./results.js";

export const VIEWS = {
  recording: { name: "Recording", view: Recording },
  results: { name: "Results", view: Results },
};
