// All views by their place in the address.

import { Label } from "./label.js";
import { Results } from "./results.js";
import { Verify } from "./verify.js";

export const VIEWS = {
  results: { name: "Results", view: Results },
  label: { name: "Label", view: Label },
  verify: { name: "Verify", view: Verify },
};
