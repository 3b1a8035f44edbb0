"""Putting the daemon together from its parts."""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from functools import partial

import psutil

from classifier.inference.scoring_process import ScoringProcesses
from daemon.archive.archiver import Archiver
from daemon.archive.mover import archive_plan, make_mover
from daemon.component import StageTimers
from daemon.control.fleet_member import FleetMember
from daemon.control.ledger_retry import LedgerRetry, opened_in_time
from daemon.control.one_run import OneRun
from daemon.control.pause import Pause
from daemon.control.reload import Reload
from daemon.control.signals import StopRequests, handled_signals
from daemon.control.upkeep import Upkeep
from daemon.errors import DaemonError
from daemon.hooks.dispatcher import HookDispatcher, run_hooks
from daemon.intake.end_checks import EndChecker
from daemon.intake.intake import Intake
from daemon.intake.new_suffixes import NewSuffixes
from daemon.intake.open_files import OpenFiles
from daemon.intake.scanner import MountMemory, inboxes_of
from daemon.intake.watcher import FileWatcher, why_no_events
from daemon.monitoring.sd_notify import extend_timeout
from daemon.monitoring.status import StatusReport
from daemon.monitoring.watchdog import ServiceWatchdog
from daemon.pipeline.model_manager import ModelManager
from daemon.pipeline.scoring import Claimer, Scorer
from daemon.pipeline.scoring_setup import RecordingPool, decode_pool, with_batches
from daemon.pipeline.window import Window
from daemon.service import Components, Service
from storage.database.engine import is_outdated, local_file
from storage.fleet.inboxes import inboxes_of_ledger
from storage.home.atomic_write import remove_leftovers
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.daemon_lock import DaemonLock, write_status
from storage.home.mounts import NETWORK_FILE_SYSTEMS, mount_of
from storage.home.paths import Home
from storage.home.pause_file import paused_since
from storage.home.trial_file import TrialFile
from storage.ledger.ledger import Ledger, open_ledger
from storage.settings.loading import refuse_overlapping_folders
from storage.settings.schema import LogSettings, MetricsSettings, Settings

logger = logging.getLogger(__name__)

Publish = Callable[[Mapping[str, object]], None]  # a status, to who reads metrics

UPGRADE_SECONDS = 4 * 3600.0  # asked of the service manager; ten million recordings take minutes


def run_daemon(
    home: Home,
    settings: Settings,
    scoring: ScoringProcesses,
    wake: threading.Event,
    once: bool,
    read: Callable[[], Settings],
    log: Callable[[LogSettings], None],
    patience_seconds: float = math.inf,
) -> None:
    """The whole life of a daemon. Raises AlreadyRunning, NothingToServe and the like.

    `read` gives the settings as they are when it is asked to reload them, and `log` begins another
    kind of log.
    """
    if once and (since := paused_since(home)):
        raise DaemonError(
            f"the intake of {home.root} is held since {since}, so nothing would empty the inbox;"
            " `clfd service resume` releases it"
        )
    refuse_overlapping_folders(settings)
    with (
        ExitStack() as until_the_end,
        DaemonLock.acquire(home, local_file(settings.database)) as lock,
        decode_pool(settings.engine, scoring, wake) as pool,
        _metrics(settings.metrics) as publish,
        ledger_of(settings, waits=not once) as ledger,
        run_hooks(home, settings) as hooks,
    ):
        for folder in (home.root, home.checkpoints, home.reports):
            remove_leftovers(folder)
        service = assemble(
            home, settings, scoring, ledger, pool, wake, read, log, publish, hooks, lock
        )
        # Another signal must not kill what closes pool and ledger.
        signals = handled_signals(service.request_stop, service.request_reload)
        until_the_end.enter_context(signals)
        service.run(OneRun(patience_seconds) if once else None)


def _metrics(settings: MetricsSettings) -> AbstractContextManager[Publish]:
    if not settings.listen and not settings.textfile:
        return nullcontext(lambda _: None)
    from daemon.monitoring.metrics_server import served_metrics  # takes 50 ms

    return served_metrics(settings)


def ledger_of(settings: Settings, waits: bool = False) -> Ledger:
    """Open for the daemon; one of an older schema is upgraded first, which takes its time.

    One on a server is waited for, if it may be away for hours.
    """
    if is_outdated(settings.database):
        extend_timeout(UPGRADE_SECONDS)
    inboxes = inboxes_of_ledger(settings.database, settings.fleet.inboxes)
    seconds = settings.fleet.lease_seconds if inboxes.machine else None
    about = archive_plan(settings), inboxes, seconds
    open_it = partial(open_ledger, settings.database, "daemon", *about)
    return opened_in_time(open_it) if waits and inboxes.machine else open_it()


def assemble(
    home: Home,
    settings: Settings,
    scoring: ScoringProcesses,
    ledger: Ledger,
    pool: RecordingPool,
    wake: threading.Event,
    read: Callable[[], Settings],
    log: Callable[[LogSettings], None],
    publish: Publish,
    hooks: HookDispatcher,
    lock: DaemonLock,
) -> Service:
    device = scoring.device
    logger.info("clfd runs on %s, home %s", device.description, home.root)
    if remark := ledger_remark(settings):
        logger.warning("%s", remark)
    clock, stops, timers = time.monotonic, StopRequests(), StageTimers()
    mounts = MountMemory(ledger)
    window = _window(with_batches(settings, device.kind), device.n_batches, ledger, pool, mounts)
    intake, archive = _intake_and_archive(home, settings, ledger, pool, wake, mounts, window)
    model = ModelManager(
        CheckpointFolder(home.checkpoints),
        ledger,
        scoring.load,
        TrialFile(home.trial_file),
        settings.engine.overlap_seconds,
        wake.set,
    )
    watchdog = ServiceWatchdog(lambda: pool.max_silence_seconds)
    pause = Pause(partial(paused_since, home))

    def change_settings(settings: Settings) -> None:
        intake.change_settings(inboxes_of(settings, archive.root_identity), settings.intake)
        window.change_settings(with_batches(settings, device.kind).engine)
        hooks.change_settings(settings)
        log(settings.log)

    scorer = Scorer(ledger, intake, window, model, archive, timers, stops.is_requested)
    components = Components(
        Reload(settings, read, change_settings, model, home),
        pause,
        model,
        FleetMember(ledger, home.root, settings.inboxes, scorer, model),
        Claimer(
            claimant=f"{socket.gethostname()}:{home.root}",
            max_attempts=settings.intake.max_attempts,
            ledger=ledger,
            watcher=intake.watcher,
            intake=intake,
            window=window,
            model=model,
            archive=archive,
            is_paused=pause.is_paused,
        ),
        scorer,
        Upkeep(
            ledger,
            lambda: model.compile_if_worthwhile(window.batches.clips_scored),
            lock.require_in_place,
        ),
        archive,
        hooks,
        watchdog,
        LedgerRetry(stops, wake, clock),
        timers,
    )
    report = _status_report(home, settings, scoring, ledger, publish, clock)
    return Service(components, report, stops, wake, clock)


def _window(
    settings: Settings,
    batches_at_once: int,
    ledger: Ledger,
    pool: RecordingPool,
    mounts: MountMemory,
) -> Window:
    links = settings.intake.duplicates == "link"
    return Window(
        pool,
        settings.engine,
        settings.intake.max_attempts,
        links,
        partial(ledger.known_answers, link=links),
        settings.intake.damaged == "warn",
        mounts.is_away,
        batches_at_once,
    )


def _intake_and_archive(
    home: Home,
    settings: Settings,
    ledger: Ledger,
    pool: RecordingPool,
    wake: threading.Event,
    mounts: MountMemory,
    window: Window,
) -> tuple[Intake, Archiver]:
    """What brings files in, and what takes them away."""
    watcher = FileWatcher(settings.inboxes, wake.set, partial(why_no_events, settings.intake.watch))
    open_files = OpenFiles(watcher.writes, lambda: watcher.unwatched)
    new_suffixes = NewSuffixes(
        home.suffixes_file,
        settings.intake.suffixes,
        is_new_home=lambda: not any(ledger.counts().values()),
    )
    mover = make_mover(home, settings, open_files)
    archive = Archiver(mover, ledger, wake.set, holds=new_suffixes.holds)
    intake = Intake(
        inboxes_of(settings, archive.root_identity),
        settings.intake,
        ledger,
        mounts,
        watcher,
        window.holds,
        EndChecker(pool),
        open_files,
        archive.restore,
        new_suffixes,
        may_scan=ledger.may_scan,
    )
    return intake, archive


def ledger_remark(settings: Settings) -> str | None:
    """What speaks against the place of the ledger's file, if anything does."""
    file = local_file(settings.database)
    if file is None or (kind := mount_of(file).kind) not in NETWORK_FILE_SYSTEMS:
        return None
    return (
        f"the ledger lies on {kind}, where SQLite's locks hold on one machine at best; set"
        " `database` to a file on a local disk"
    )


def _status_report(
    home: Home,
    settings: Settings,
    scoring: ScoringProcesses,
    ledger: Ledger,
    publish: Publish,
    clock: Callable[[], float],
) -> StatusReport:
    device_name = scoring.device.description
    inboxes = [str(inbox) for inbox in settings.inboxes]

    def write(status: Mapping[str, object]) -> None:
        publish(status)
        write_status(home, status)

    return StatusReport(
        write=write,
        count=ledger.counts,
        last_failure=ledger.last_failure,
        clock=clock,
        oldest_pending=ledger.oldest_pending,
        facts=lambda: {
            "device": device_name,
            "inboxes": inboxes,
            "memory_bytes": _memory_bytes() + _memory_bytes(scoring.pid),
        },
    )


def _memory_bytes(pid: int | None = None) -> int:
    """Resident; 0 of a process that is gone."""
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0
