"""`clfd run --test-hook`: one example to each hook, so that nobody waits for a siren to try it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from daemon.errors import HookTestFailed
from daemon.hooks.alerts import AlertRules, alert_of
from daemon.hooks.targets import RefusedByTarget, TargetUnreachable, targets_of
from storage.home.paths import Home
from storage.queries.result import Result, label_list
from storage.settings.schema import Settings
from storage.values.timestamps import utc_now

# Label, site and path say what it is, whatever a template makes of them.
_EXAMPLE = Result(
    id=0,
    path="test/clfd-test.wav",
    status="done",
    label="test",
    confidence=1.0,
    duration_s=60.0,
    sample_rate_hz=48000,
    checkpoint="test",
    digest="0" * 64,
    site="test",
    labels=label_list([("test", 1.0)]),
)
_START_S, _END_S = 10.0, 15.0


def send_examples(home: Home, settings: Settings) -> Iterator[str]:
    """Yields a line for each hook that took it.

    Raises HookTestFailed with the reasons of those that did not, after all were tried, and
    ConfigurationError like a start of the daemon.
    """
    targets = targets_of(home, settings.hooks, is_test=True)
    if not targets:
        raise HookTestFailed("there is no hook; set hooks.command or hooks.url")
    rules, now, inbox = AlertRules(settings), utc_now(), str(settings.inboxes[0])
    answer = replace(_EXAMPLE, inbox=inbox, classified_at=now, recorded_at=now)
    row = replace(answer, start_s=_START_S, end_s=_END_S) if rules.is_of_clips else answer
    message = rules.message(answer, replace(alert_of(row), test=True))
    failures = []
    for name, target in targets.items():
        try:
            target.send(*message)
            yield f"hook {name} took the example"
        except (RefusedByTarget, TargetUnreachable) as error:
            failures.append(f"hook {name}: {error}")
    if failures:
        raise HookTestFailed("; ".join(failures))
