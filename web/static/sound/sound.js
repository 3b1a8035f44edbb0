// What other views use: a sound with its picture and a button, and what prepares or plays one.
//
//   <${Sound} digest=… start=0 end=5 duration=8.2 label="dog" height=160 autoplay onPlay=${…} />
//
// The view that has Space in its table calls `player.toggle()`. `onPlay` is called once it is heard.

import { html, useEffect } from "../lib/preact-htm.js";
import { Fault, KeyButton } from "../core/widgets.js";
import { player, usePlayer } from "./player.js";
import { Spectrogram } from "./spectrogram.js";

export { player, usePlayer } from "./player.js";
export { Spectrogram } from "./spectrogram.js";
export { prepare as prefetch } from "./spectrum.js";

export function Sound({ digest, start, end, autoplay, onPlay, ...rest }) {
  const { error } = usePlayer();
  const isPlaying = player.isPlaying(digest, start, end);
  useEffect(() => {
    if (autoplay) player.play(digest, start, end, { onPlay });
    return () => player.isPlaying(digest, start, end) && player.stop();
  }, [digest, start, end]);
  return html`<div class="sound">
    <${Spectrogram} digest=${digest} start=${start} end=${end} ...${rest} onPlace=${(at) => player.play(digest, start, end, { at, onPlay })} />
    <p class="row"><${KeyButton} k=" " pressed=${isPlaying} onPress=${() => player.toggle(digest, start, end, { onPlay })}>${isPlaying ? "Stop" : "Play"}<//><${Blocked} /></p>
    <${Fault} error=${error} />
  </div>`;
}

// Shown where something should play by itself and may not yet.
export const Blocked = () => usePlayer().isBlocked && html`<span class="dim">Sound plays by itself after your first key or click.</span>`;
