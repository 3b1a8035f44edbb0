// All views by their place in the address, with the keys of each.

import { Activity, KEYS as ACTIVITY_KEYS } from "./activity.js";
import { Checkpoints, KEYS as CHECKPOINTS_KEYS } from "./checkpoints.js";
import { GRID_KEYS } from "./grid.js";
import { Help, KEYS as HELP_KEYS } from "./help.js";
import { Label, LABEL_KEYS } from "./label.js";
import { KEYS as LIVE_KEYS, Live } from "./live.js";
import { KEYS as RECORDING_KEYS, Recording } from "./recording.js";
import { KEYS as RESULTS_KEYS, Results } from "./results.js";
import { Verify, VERIFY_KEYS } from "./verify.js";

export const VIEWS = {
  live: { name: "Live", view: Live, keys: LIVE_KEYS },
  results: { name: "Results", view: Results, keys: RESULTS_KEYS },
  recording: { name: "Recording", view: Recording, keys: RECORDING_KEYS },
  label: { name: "Label", view: Label, keys: LABEL_KEYS },
  grid: { name: "Grid", keys: GRID_KEYS },
  verify: { name: "Verify", view: Verify, keys: VERIFY_KEYS },
  checkpoints: { name: "Checkpoints", view: Checkpoints, keys: CHECKPOINTS_KEYS },
  activity: { name: "Activity", view: Activity, keys: ACTIVITY_KEYS },
  help: { name: "Help", view: Help, keys: HELP_KEYS },
};
