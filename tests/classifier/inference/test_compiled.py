"""Networks compiled ahead of time: whose packages are trusted, and when one takes over."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from classifier.inference.compilation import PAYING_CLIPS, Compilation
from classifier.inference.compiled import KEPT, CompiledNetworks, CompileKey
from classifier.inference.predictor import Predictor
from classifier.model.checkpoint import read_checkpoint

KEY = CompileKey("d" * 64, "float32", 16)
SOME_SECONDS = 60.0


@pytest.fixture
def predictor(checkpoint_file: Path) -> Predictor:
    return Predictor(read_checkpoint(checkpoint_file), torch.device("cpu"), "float32")


@pytest.fixture
def clips(predictor: Predictor, noise: Callable[..., np.ndarray]) -> np.ndarray:
    """Two whole portions and a clip."""
    assert predictor.compile_key is not None
    n_clips = 2 * predictor.compile_key.n_clips + 1
    return np.stack([noise(0.5, seed=seed) for seed in range(n_clips)])


def like(predictor: Predictor) -> Predictor:
    return Predictor(predictor.checkpoint, predictor.device, predictor.precision)


def quick_one(predictor: Predictor) -> Callable[[Tensor], Tensor]:
    """What was compiled: it has its answers ready, so that it is faster than any network."""
    known: dict[bytes, Tensor] = {}

    def network(batch: Tensor) -> Tensor:
        key = batch.numpy().tobytes()
        if key not in known:
            known[key] = predictor.outputs(batch)
        return known[key]

    return network


def test_a_compiled_network_that_agrees_and_is_faster_takes_over(
    predictor: Predictor, clips: np.ndarray
) -> None:
    before = predictor.score(clips)
    plain = like(predictor)
    assert predictor.use_compiled(quick_one(plain))
    assert predictor.path == "compiled"
    np.testing.assert_allclose(predictor.score(clips), before, atol=1e-5)


def test_only_whole_portions_run_compiled(predictor: Predictor, clips: np.ndarray) -> None:
    sizes, compiled = (
        [],
        quick_one(like(predictor)),
    )

    def noted(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        return compiled(batch)

    assert predictor.use_compiled(noted)
    sizes.clear()
    predictor.score(clips)
    assert predictor.compile_key is not None
    assert sizes == [predictor.compile_key.n_clips] * 2


def test_both_networks_are_timed_with_the_threads_that_will_serve(predictor: Predictor) -> None:
    """A thread begun while a few clips are scored has one."""
    served = Predictor(predictor.checkpoint, predictor.device, "float32", n_threads=2)
    compiled, counts = quick_one(predictor), set()

    def noted(batch: Tensor) -> Tensor:
        counts.add(torch.get_num_threads())
        return compiled(batch)

    served.use_compiled(noted)
    assert counts == {2}


def wrong(predictor: Predictor) -> Callable[[Tensor], Tensor]:
    return lambda batch: 10 * torch.eye(3)[: len(batch)].repeat(len(batch), 1)[: len(batch)]


def slow(predictor: Predictor) -> Callable[[Tensor], Tensor]:
    def network(batch: Tensor) -> Tensor:
        logits = predictor.outputs(batch)
        for _ in range(3):
            predictor.outputs(batch)
        return logits

    return network


def broken(predictor: Predictor) -> Callable[[Tensor], Tensor]:
    def network(batch: Tensor) -> Tensor:
        raise RuntimeError("expected size 8, got 16")

    return network


@pytest.mark.parametrize("make", [wrong, slow, broken])
def test_one_that_disagrees_is_slower_or_breaks_is_left_alone(
    predictor: Predictor, make: Callable[[Predictor], Callable[[Tensor], Tensor]]
) -> None:
    assert not predictor.use_compiled(make(like(predictor)))
    assert predictor.path == "eager"


def kept(folder: Path, key: CompileKey = KEY) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / key.file_name
    file.write_bytes(b"no package at all")
    file.chmod(0o600)
    return file


def test_a_file_that_is_no_package_is_passed_over(tmp_path: Path) -> None:
    kept(tmp_path / "compiled")
    assert CompiledNetworks(tmp_path / "compiled").load(KEY) is None


@pytest.mark.parametrize("what", ["folder", "file"])
def test_machine_code_that_others_could_have_written_is_never_loaded(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = kept(tmp_path / "compiled")
    loaded: list[str] = []
    monkeypatch.setattr(
        "torch._C._aoti.AOTIModelPackageLoader", lambda name, *_: loaded.append(name)
    )
    networks = CompiledNetworks(file.parent)
    (file.parent if what == "folder" else file).chmod(0o770)
    assert networks.load(KEY) is None
    assert loaded == []
    file.parent.chmod(0o700)
    file.chmod(0o600)
    assert networks.load(KEY) is not None  # the permissions alone made the difference


def test_a_link_is_never_loaded(tmp_path: Path) -> None:
    file = kept(tmp_path / "compiled")
    elsewhere = file.rename(tmp_path / "elsewhere")
    file.symlink_to(elsewhere)
    assert CompiledNetworks(file.parent).load(KEY) is None


def test_a_link_to_another_folder_is_neither_read_nor_tidied(
    tmp_path: Path, checkpoint_file: Path
) -> None:
    """Who may write to the home may lay one there."""
    file = kept(tmp_path / "elsewhere")
    theirs = file.parent / "tmp-of-somebody"
    theirs.mkdir()
    (tmp_path / "compiled").symlink_to(file.parent)
    networks = CompiledNetworks(tmp_path / "compiled")
    assert networks.load(KEY) is None
    assert networks.begin(KEY, checkpoint_file) is None
    assert theirs.exists()


def test_what_is_loaded_is_what_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what lies under its name by then, in a folder that was laid over the first one."""
    file = kept(tmp_path / "compiled")
    found: list[bytes] = []

    def load(name: str, *_: object) -> None:
        file.parent.rename(tmp_path / "aside")
        kept(tmp_path / "compiled").write_bytes(b"of somebody else")
        found.append(Path(name).read_bytes())

    monkeypatch.setattr("torch._C._aoti.AOTIModelPackageLoader", load)
    CompiledNetworks(file.parent).load(KEY)
    assert found == [b"no package at all"]


def test_only_what_may_be_trusted_is_copied(tmp_path: Path) -> None:
    """A copy belongs to whoever made it, so that it looks like one of theirs."""
    folder, orders = tmp_path / "compiled", [replace(KEY, n_clips=n) for n in (1, 2)]
    mine, everybodys = [kept(folder, order) for order in orders]
    everybodys.chmod(0o666)
    CompiledNetworks(folder).copy_into(tmp_path / "copies")
    copies = list((tmp_path / "copies").iterdir())
    assert [copy.name for copy in copies] == [mine.name]
    assert copies[0].read_bytes() == mine.read_bytes()
    folder.chmod(0o777)
    CompiledNetworks(folder).copy_into(tmp_path / "none")
    assert list((tmp_path / "none").iterdir()) == []


def test_code_for_one_processor_is_not_taken_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch calls both of these AVX512; the compiler uses what only one of them has."""
    processors, names = tmp_path / "cpuinfo", []
    monkeypatch.setattr("classifier.inference.compiled.PROCESSORS", processors)
    for flags in ("avx512f", "avx512f amx_bf16", "avx512f"):
        mhz = f"cpu MHz : {2000 + len(names)}"
        processors.write_text(f"processor : 0\n{mhz}\nflags : {flags}\n")
        names.append(KEY.file_name)
    assert names[0] == names[2] != names[1]


def test_modules_of_where_the_daemon_stands_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = tmp_path / "classifier" / "__init__.py"
    stranger.parent.mkdir()
    stranger.write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "getpid", lambda: 0)  # it ends where another process began it
    process = CompiledNetworks(tmp_path / "compiled").begin(KEY, tmp_path / "missing")
    assert process is not None
    process.wait(SOME_SECONDS)
    assert not (tmp_path / "ran").exists()


def test_where_memory_ends_a_compilation_goes_before_the_daemon(
    tmp_path: Path, predictor: Predictor, checkpoint_file: Path
) -> None:
    assert predictor.compile_key is not None
    process = CompiledNetworks(tmp_path / "compiled").begin(predictor.compile_key, checkpoint_file)
    assert process is not None
    score = Path(f"/proc/{process.pid}/oom_score_adj")
    mine = int(Path("/proc/self/oom_score_adj").read_text())
    while int(score.read_text().split()[0]) <= mine:  # it may change between two reads
        assert process.poll() is None
    process.kill()
    process.wait()


def test_without_a_compiler_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert CompiledNetworks(tmp_path / "compiled").begin(KEY, tmp_path) is None
    assert not (tmp_path / "compiled").exists()


def test_where_the_folder_cannot_be_made_nothing_is_begun(tmp_path: Path) -> None:
    (tmp_path / "compiled").write_text("a file in its place")
    assert CompiledNetworks(tmp_path / "compiled").begin(KEY, tmp_path) is None


def test_a_compilation_that_fails_changes_nothing_and_is_not_tried_again(
    tmp_path: Path, predictor: Predictor
) -> None:
    compilation = Compilation(CompiledNetworks(tmp_path / "compiled"), "always")
    missing = tmp_path / "missing.safetensors"
    compilation.step(predictor, missing, clips_scored=0)
    assert compilation.process is not None
    wait_for(compilation)
    for _ in range(2):
        compilation.step(predictor, missing, clips_scored=0)
    assert compilation.process is None
    assert predictor.path == "eager"
    assert list((tmp_path / "compiled").iterdir()) == []


def wait_for(compilation: Compilation) -> None:
    if compilation.process is not None:
        compilation.process.wait(SOME_SECONDS)


@pytest.mark.parametrize(("when", "clips_scored"), [("never", 10**9), ("auto", PAYING_CLIPS - 1)])
def test_what_would_not_pay_or_is_not_wanted_is_not_begun(
    when: str, clips_scored: int, tmp_path: Path, predictor: Predictor, checkpoint_file: Path
) -> None:
    compilation = Compilation(CompiledNetworks(tmp_path / "compiled"), when)
    compilation.step(predictor, checkpoint_file, clips_scored)
    assert compilation.process is None


def test_a_compilation_is_stopped_with_the_daemon(
    tmp_path: Path, predictor: Predictor, checkpoint_file: Path
) -> None:
    compilation = Compilation(CompiledNetworks(tmp_path / "compiled"), "always")
    compilation.step(predictor, checkpoint_file, clips_scored=0)
    began = time.monotonic()
    compilation.stop()
    assert compilation.process is None
    assert time.monotonic() - began < SOME_SECONDS


def test_the_folder_keeps_a_few_packages_and_no_rubbish(
    tmp_path: Path, predictor: Predictor, checkpoint_file: Path
) -> None:
    folder = tmp_path / "compiled"
    for number in range(KEPT + 3):
        file = kept(folder, CompileKey(f"{number}" * 64, "float32", 16))
        os.utime(file, (number, number))
    (folder / "tmpabc").mkdir()
    compilation = Compilation(CompiledNetworks(folder), "always")
    compilation.step(predictor, checkpoint_file, clips_scored=0)
    compilation.stop()
    left = sorted(file.name[0] for file in folder.glob("*.pt2"))
    assert left == [str(number) for number in range(4, KEPT + 3)]
    assert not (folder / "tmpabc").exists()


@pytest.mark.torture
def test_a_network_is_compiled_beside_its_predictor_and_taken_over(
    tmp_path: Path,
    predictor: Predictor,
    checkpoint_file: Path,
    clips: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where torch unpacks what it loads
    networks, before = CompiledNetworks(tmp_path / "compiled"), predictor.score(clips)
    compilation = Compilation(networks, "always")
    compilation.step(predictor, checkpoint_file, clips_scored=0)
    assert compilation.process is not None
    compilation.process.wait(10 * SOME_SECONDS)
    assert predictor.compile_key is not None
    compiled = networks.load(predictor.compile_key)
    assert compiled is not None
    predictor.use_compiled(compiled)  # a network of this size may not be faster
    np.testing.assert_allclose(predictor.score(clips), before, atol=1e-4)
    assert [file.suffix for file in (tmp_path / "compiled").iterdir()] == [".pt2"]
    assert [left.name for left in tmp_path.glob("aotinductor*")] == []
