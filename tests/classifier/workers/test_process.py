from __future__ import annotations

import os
import subprocess
import sys


def test_cores_that_a_process_may_not_use_do_not_count() -> None:
    core = min(os.sched_getaffinity(0))
    script = (
        f"import os; os.sched_setaffinity(0, {{{core}}});"
        "from classifier.workers.cores import usable_cores; print(usable_cores())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr
