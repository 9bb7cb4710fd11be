"""Fingerprints of a method in other processes: other string hashes, folders, user and time."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import torch
from torch import Tensor

from petlir.benchmark.contract import clock
from petlir.benchmark.contract.toy_model import RATE, ToyTrial
from petlir.benchmark.errors import Interruption, told
from petlir.benchmark.method import Method
from petlir.benchmark.plugin_modules import PREFIX, load_file
from petlir.benchmark.training.adaptation import Adapted

HASH_SEEDS = (3, 8, 18)
"""Values of PYTHONHASHSEED for which the hashes of common site and block names differ in order and parity."""
Pickled = tuple[list[Path], list[str], int, bytes]
"""Plugin files, module search path, thread count, and a pickled trial: method, builder, weights, cells."""


@dataclass(frozen=True)
class Fingerprint:
    """Values that are equal in every process for the same method.

    Attributes:
        start: digest of the method's initial weights.
        outputs: outputs of the network after fixed changes to the initial weights, in evaluation and in training mode.
    """

    start: str
    outputs: Tensor


@torch.no_grad()
def fingerprint(trial: ToyTrial) -> Fingerprint:
    """Return the fingerprint of a trial's method; nothing is trained, since training amplifies rounding errors."""
    adapted = trial.adapted()
    start = digest_of(adapted.state())
    disturb(adapted)
    evaluated = trial.output(adapted.backbone)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        adapted.train()
        return Fingerprint(start, torch.cat([evaluated, adapted.backbone(trial.images, trial.head)]))


@torch.no_grad()
def disturb(adapted: Adapted) -> None:
    """Add small numbers to the trainable parameters, the same in every process, because zeros hide effects."""
    for name, parameter in adapted.trainable().items():
        numbers = torch.Generator().manual_seed(crc32(name.encode()))
        parameter.add_(RATE * torch.randn(parameter.shape, generator=numbers))


def rebuilt(method: Method) -> Method:
    """Return the method as built from its options alone."""
    return type(method)(**method.options())


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Return a digest of tensors with their names, shapes and dtypes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class OtherProcess:
    """A process with another hash seed, folder and time; it returns fingerprints, and ends when its parent ends."""

    def __init__(self, hash_seed: int) -> None:
        folder = tempfile.mkdtemp(prefix="petlir-contract-")
        changed = {"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": os.pathsep.join(_search())}
        changed |= dict.fromkeys(("HOME", "PWD", "TMPDIR"), folder) | dict.fromkeys(("USER", "LOGNAME"), "somebody")
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **changed},
        )
        weakref.finalize(self, _end, self._process, folder)

    def ask(self, request: Pickled) -> None:
        """Send a method to the process."""
        assert self._process.stdin is not None
        pickle.dump(request, self._process.stdin)
        self._process.stdin.flush()

    def answer(self) -> Fingerprint | str | None:
        """Return the fingerprint of the last method sent, the error it raised, or None if it could not be imported."""
        assert self._process.stdout is not None
        found: Fingerprint | str | None = pickle.load(self._process.stdout)
        return found


def _search() -> list[str]:
    """Return the module search path with absolute folders, because the other processes run in another folder."""
    return [str(Path(folder).absolute()) for folder in sys.path]


def _end(process: subprocess.Popen[bytes], folder: str) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.kill()  # it may be busy in a plugin's endless loop
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)


@cache
def _others() -> Sequence[OtherProcess]:
    """Start a process for each hash seed, only once, because each process takes several seconds to import torch."""
    return [OtherProcess(seed) for seed in HASH_SEEDS]


def fingerprints(trial: ToyTrial) -> list[Fingerprint | str]:
    """Return the fingerprint of the trial's method, or the error that it raises, from each of the other processes.

    The list is empty if the other processes cannot import the method or the network, e.g. because a class is defined in
    a function.
    """
    try:
        pickled = pickle.dumps((trial.method, trial.build, trial.weights, trial.finished))
    except (pickle.PicklingError, AttributeError, TypeError):
        return []
    modules = [one for name, one in sys.modules.items() if name.startswith(PREFIX) and name.encode() in pickled]
    files = [path for module in modules if (path := Path(str(module.__file__)).absolute()).is_file()]
    others = _others()
    try:
        for process in others:
            process.ask((files, _search(), torch.get_num_threads(), pickled))
        return [answer for process in others if (answer := process.answer()) is not None]
    except (EOFError, BrokenPipeError):
        _others.cache_clear()
        return ["it ends the process"]
    except Interruption:  # answers are outstanding
        _others.cache_clear()
        raise


def _answer(request: Pickled) -> Fingerprint | str | None:
    files, search, threads, pickled = request
    sys.path[:] = search
    torch.set_num_threads(threads)
    try:
        for file in files:
            load_file(file)
        method, build, weights, finished = pickle.loads(pickled)
    except (Exception, SystemExit):  # noqa: BLE001 - the method may be importable only in the first process
        return None
    try:
        trial = ToyTrial(rebuilt(method), build, weights, finished)
        trial.adapted(seed=2)  # a network of another seed must not affect the next one
        return fingerprint(trial)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
        return told(error)


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    while True:
        try:
            request = pickle.load(requests)
        except EOFError:
            return
        pickle.dump(_answer(request), answers)
        answers.flush()


def main() -> None:
    """Answer requests until standard input is closed; redirect the output of plugins to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    clock.advance()
    _serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    from petlir.benchmark.contract import other_processes  # so that both processes use the same class of fingerprints

    other_processes.main()
