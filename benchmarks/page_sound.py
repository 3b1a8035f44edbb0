"""How soon the next clip is seen and heard in a browser, and what memory the page takes meanwhile.

    python -m benchmarks.page_sound HOME [--clips 40]

The home needs so many answered recordings. In Label, where each clip plays by itself, the key for
the next one is pressed; a clip is seen when its spectrogram is painted, and heard when its samples
are handed to the audio clock, which begins 5 ms later.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

CHROMIUM = "/usr/bin/chromium"
WATCH = """() => {
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (...rest) {
    performance.mark("heard");
    return start.apply(this, rest);
  };
  new MutationObserver(() => performance.mark("seen"))
    .observe(document, { subtree: true, attributeFilter: ["data-painted"] });
  addEventListener("keydown", () => performance.mark("key"), true);
}"""
TIMES = """() => {
  const of = (name) => performance.getEntriesByName(name)[0]?.startTime;
  const found = [of("key"), of("seen"), of("heard")];
  if (found.includes(undefined)) return null;
  performance.clearMarks();
  return [found[1] - found[0], found[2] - found[0]];
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--clips", type=int, default=40)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "clfd", f"--home={arguments.home}", "web"]
    page = subprocess.Popen(
        [*command, "--listen=127.0.0.1:0"],
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert page.stdout is not None
        seen, heard = _measure(page.stdout.readline().strip(), arguments.clips)
        memory_mb = _proportional_bytes(page.pid) / 1e6
    finally:
        page.terminate()
        page.wait()
    both = [max(pair) for pair in zip(seen, heard, strict=True)]
    figures = {"seen_ms": seen, "heard_ms": heard, "seen_and_heard_ms": both}
    shown = {name: [_rank(some, 0.5), _rank(some, 0.95)] for name, some in figures.items()}
    print(json.dumps({"clips": len(seen), **shown, "page_pss_mb": round(memory_mb)}))


def _measure(link: str, n: int) -> tuple[list[float], list[float]]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        tab = browser.new_page()
        tab.goto(link)
        tab.locator("nav").wait_for()
        tab.goto(f"{link.split('/in')[0]}/label")
        tab.locator("canvas[data-painted]").wait_for()
        tab.evaluate(WATCH)
        tab.keyboard.press("r")  # sound may be heard from now on
        time.sleep(1)
        tab.evaluate("performance.clearMarks()")
        times = []
        while len(times) < n:
            tab.keyboard.press("ArrowRight")
            time.sleep(0.7)  # a person listens, and what follows is fetched
            if found := tab.evaluate(TIMES):
                times.append(found)
        browser.close()
    return [one[0] for one in times], [one[1] for one in times]


def _proportional_bytes(pid: int) -> int:
    """Of a process and all below it: shared pages are parted among those that have them."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return sum(one.memory_full_info().pss for one in family)


def _rank(values: list[float], share: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))], 1)


if __name__ == "__main__":
    main()
