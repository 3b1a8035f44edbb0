// Data that is asked for again and again while the page is seen, and once where it does not change.

import { useEffect, useRef, useState } from "../lib/preact-htm.js";

// {data, error, refresh}: `ask(signal)` gives a promise. With `seconds` it is asked again after
// each answer, less often while it fails; a hidden page asks nothing. `parts` are what it is about:
// when they change it is asked anew, and the data stay until the answer is there.
export function useData(ask, parts, seconds = 0) {
  const [state, setState] = useState({ data: null, error: null, isLoading: true });
  const again = useRef(() => {});
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    let failures = 0;
    const round = async () => {
      clearTimeout(timer);
      try {
        const data = await ask(abort.signal);
        if (abort.signal.aborted) return;
        failures = 0;
        setState({ data, error: null, isLoading: false });
      } catch (error) {
        if (abort.signal.aborted) return;
        failures += 1;
        setState((before) => ({ ...before, error, isLoading: false }));
      }
      clearTimeout(timer); // of a round that began meanwhile
      if (seconds) timer = setTimeout(wait, 1000 * Math.min(seconds * 2 ** failures, 30));
    };
    const wait = () => (document.hidden ? undefined : round());
    const onShow = () => seconds && !document.hidden && round();
    setState((before) => ({ ...before, isLoading: true }));
    round();
    again.current = round;
    document.addEventListener("visibilitychange", onShow);
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onShow);
    };
  }, parts);
  return { ...state, refresh: () => again.current() };
}
