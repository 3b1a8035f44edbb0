"""Putting the daemon together from its parts."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psutil
import torch

from classifier.inference.compiled import CompiledNetworks
from classifier.inference.device import (
    describe_device,
    memory_in_use,
)
from classifier.inference.predictor import Predictor
from classifier.workers.malloc import keep_freed_memory, share_one_arena
from daemon.archive.archiver import Archiver
from daemon.archive.mover import Mover
from daemon.control.pause import Pause
from daemon.control.reload import Reload
from daemon.errors import DaemonError
from daemon.hooks.dispatcher import HookDispatcher, hooked
from daemon.intake.intake import Intake
from daemon.intake.mounts import NETWORK_FILE_SYSTEMS, MountMemory, mount_of
from daemon.intake.scanner import inboxes_of
from daemon.intake.watcher import FileWatcher
from daemon.monitoring.exposing import Exposition, exposed
from daemon.monitoring.sd_notify import extend_timeout
from daemon.monitoring.status import StatusReport
from daemon.monitoring.watchdog import ServiceWatchdog
from daemon.pipeline.compilation import Compilation
from daemon.pipeline.model_manager import ModelManager
from daemon.pipeline.scoring_setup import (
    KEPT_BYTES,
    RecordingPool,
    decode_pool,
    engine_device,
    load_predictor,
    with_batches,
)
from daemon.pipeline.window import Window
from daemon.service import Service
from storage.database.engine import file_of, is_outdated
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.daemon_lock import DaemonLock, write_status
from storage.home.paths import Home
from storage.home.pause_file import paused_since
from storage.ledger.archive_moves import ArchivePlan
from storage.ledger.ledger import Ledger, open_ledger
from storage.settings.schema import LogSettings, Settings

logger = logging.getLogger(__name__)

UPGRADE_SECONDS = 4 * 3600.0  # asked of the service manager; ten million recordings take minutes


def run_daemon(
    home: Home,
    settings: Settings,
    once: bool,
    read: Callable[[], Settings],
    log: Callable[[LogSettings], None],
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
    share_one_arena()
    keep_freed_memory(KEPT_BYTES)
    with (
        ExitStack() as until_the_end,
        DaemonLock.acquire(home),
        exposed(settings.metrics) as metrics,
        ledger_of(settings) as ledger,
        hooked(home, settings) as hooks,
    ):
        device = engine_device(settings)
        with decode_pool(settings, device) as (pool, wake):
            service = assemble(
                home, settings, device, ledger, pool, wake, read, log, metrics, hooks
            )
            # Another signal must not kill what closes pool and ledger.
            until_the_end.enter_context(signals(service))
            service.run(once)


def ledger_of(settings: Settings) -> Ledger:
    """Open for the daemon; one of an older schema is upgraded first, which takes its time."""
    if is_outdated(settings.database):
        extend_timeout(UPGRADE_SECONDS)
    return open_ledger(settings.database, "daemon", archive_plan(settings))


def assemble(
    home: Home,
    settings: Settings,
    device: torch.device,
    ledger: Ledger,
    pool: RecordingPool,
    wake: threading.Event,
    read: Callable[[], Settings],
    log: Callable[[LogSettings], None],
    metrics: Exposition,
    hooks: HookDispatcher,
) -> Service:
    logger.info("clfd runs on %s, home %s", describe_device(device), home.root)
    if remark := ledger_remark(settings):
        logger.warning("%s", remark)
    links, mounts = settings.intake.duplicates == "link", MountMemory(ledger)
    window = Window(
        pool,
        with_batches(settings, device.type).engine,
        settings.intake.max_attempts,
        links,
        partial(ledger.known_answers, link=links),
        settings.intake.damaged == "warn",
        mounts.is_away,
    )
    doorbell = FileWatcher(settings.inboxes, wake.set, partial(why_deaf, settings.intake.watch))

    def write(status: Mapping[str, object]) -> None:
        metrics.publish(status)
        write_status(home, status)

    report = StatusReport(
        write=write,
        count=ledger.counts,
        last_failure=ledger.last_failure,
        clock=time.monotonic,
        facts={
            "device": describe_device(device),
            "inboxes": [str(inbox) for inbox in settings.inboxes],
        },
        oldest_pending=ledger.oldest_pending,
        figures=lambda: {
            "device_memory_bytes": memory_in_use(device),
            "memory_bytes": psutil.Process().memory_info().rss,
        },
    )
    n_threads = torch.get_num_threads()
    compilation = Compilation(CompiledNetworks(home.compiled), "auto")

    def load(path: Path) -> Predictor:
        predictor = load_predictor(path, device, settings.engine.precision, n_threads)
        compilation.adopt(predictor)
        return predictor

    shelf, overlap_seconds = CheckpointFolder(home.checkpoints), settings.engine.overlap_seconds
    model = ModelManager(shelf, ledger, load, overlap_seconds, wake.set, compilation)
    intake = Intake(inboxes_of(settings), settings.intake, ledger, mounts, doorbell, window.holds)

    def adopt(settings: Settings) -> None:
        intake.adopt(inboxes_of(settings), settings.intake)
        window.adopt(with_batches(settings, device.type).engine)
        log(settings.log)

    return Service(
        claimant=f"{socket.gethostname()}:{home.root}",
        max_attempts=settings.intake.max_attempts,
        ledger=ledger,
        model=model,
        doorbell=doorbell,
        intake=intake,
        window=window,
        archive=Archiver(mover(home, settings), ledger, wake.set),
        report=report,
        liveness=ServiceWatchdog(settings.engine.decode_timeout_seconds),
        reloading=Reload(settings, read, adopt, model, home),
        pause=Pause(partial(paused_since, home)),
        hooks=hooks,
        wake=wake,
        clock=time.monotonic,
    )


def archive_plan(settings: Settings) -> ArchivePlan | None:
    root = settings.archive
    return None if root is None else ArchivePlan(root, settings.inboxes)


def mover(home: Home, settings: Settings) -> Mover | None:
    """What lies in the home is made; what lies elsewhere may be a mount, and is waited for."""
    plan = archive_plan(settings)
    return None if plan is None else Mover(plan, plan.root.is_relative_to(home.root))


def ledger_remark(settings: Settings) -> str | None:
    """What speaks against the place of the ledger's file, if anything does."""
    kind = mount_of(file_of(settings.database)).kind
    if kind not in NETWORK_FILE_SYSTEMS:
        return None
    return (
        f"the ledger lies on {kind}, where SQLite's locks hold on one machine at best; set"
        " `database` to a file on a local disk"
    )


def why_deaf(watch: str, root: Path) -> str | None:
    """Why events are not to be waited for in an inbox, by `intake.watch` and where it lies."""
    if watch == "scans":
        return "intake.watch = scans"
    mount = mount_of(root)
    return f"{mount.kind} has no events" if watch == "auto" and mount.is_network else None


@contextmanager
def signals(service: Service) -> Iterator[None]:
    """SIGTERM, SIGINT and a closed terminal ask for a stop; the handlers only set a flag.

    SIGHUP means that the terminal closed where there is one. Elsewhere it asks for a reload, as
    service managers and administrators mean it. Where `nohup` took it away it stays away.
    """

    def stop(*_: object) -> None:
        service.request_stop()

    def reload(*_: object) -> None:
        service.request_reload()

    handlers: dict[signal.Signals, Callable[..., None]] = {
        signal.SIGTERM: stop,
        signal.SIGINT: stop,
    }
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handlers[signal.SIGHUP] = stop if has_terminal() else reload
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        # It ends anyway. One more signal would kill Python while it tidies up, and an orderly stop
        # would look like a death by SIGTERM.
        for number in handlers:
            signal.signal(number, signal.SIG_IGN)


def has_terminal() -> bool:
    """Whether there is a terminal whose end would end this process, wherever its output goes."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
