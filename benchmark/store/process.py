"""A process, told apart from all others, on this machine or another."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Process:
    """A process, told apart from all others; `machine` is empty where the system does not tell."""

    host: str
    machine: str
    pid: int
    started: str

    @classmethod
    def this(cls) -> Self:
        """The process that calls."""
        return cls(socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()))

    @property
    def alive(self) -> bool | None:
        """Whether it runs; None where only its signs of life can tell, since it is on another machine."""
        if not self.machine or self.machine != _machine():
            return None
        return _started(self.pid) == self.started


def _machine() -> str:
    """A boot of a kernel and a space of process numbers in it: containers of one machine differ."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process started, in ticks since boot; empty where there is none of that number, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]
