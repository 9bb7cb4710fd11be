"""Processes, identified uniquely across machines."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Process:
    """A process, identified uniquely across machines; `machine` is empty if its id is unknown."""

    host: str
    machine: str
    pid: int
    started: str

    @classmethod
    def this(cls) -> Self:
        """Return the calling process."""
        return cls(socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()))

    @property
    def alive(self) -> bool | None:
        """True if the process is running; None if it is on another machine, so that only its heartbeats can tell."""
        if not self.machine or self.machine != _machine():
            return None
        return _started(self.pid) == self.started


def _machine() -> str:
    """Return an id of the current boot and process namespace; containers on the same machine have different ids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return a process's start time in ticks since boot, or "" if the process does not exist or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]
