"""A real one-node SLURM on this machine, isolated from any other by its own ports, munge daemon and folder.

It needs the Debian packages slurmctld, slurmd, slurm-client and munge, and must be run as root.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CONF = """
ClusterName=tests
SlurmctldHost={host}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName={host} CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def lacking() -> str:
    """Return why SLURM cannot be started here, or an empty string if it can."""
    if os.geteuid() != 0:
        return "starting SLURM needs root"
    missing = [name for name in (*DAEMONS, "srun", "sbatch") if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _munge(folder: Path) -> list[str]:
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    places = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return ["munged", "--force", *(f"--{name}={folder}/munge.{end}" for name, end in places.items())]


@contextmanager
def one_node() -> Iterator[Mapping[str, str]]:
    """Start SLURM and yield the environment variables that sbatch, squeue and scancel need to reach it."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 200
    conf = folder / "slurm.conf"
    values = {"host": host, "folder": folder, "ports": _free_ports(2), "cpus": os.cpu_count(), "memory": memory}
    conf.write_text(CONF.format(**values))
    environment = os.environ | {"SLURM_CONF": str(conf)}
    try:
        for command in (_munge(folder), ["slurmctld"], ["slurmd"]):
            subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        _wait(environment)
        yield environment
    finally:
        _end_jobs(environment)
        for name in ("slurmd", "slurmctld", "munge"):
            _stop(folder / f"{name}.pid")
        shutil.rmtree(folder, ignore_errors=True)


def _wait(environment: Mapping[str, str]) -> None:
    command = ["sinfo", "--noheader", "--format=%t"]
    for _ in range(60):
        if subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout == "idle\n":
            return
        time.sleep(0.5)
    raise RuntimeError("SLURM did not come up within 30 s")


def _end_jobs(environment: Mapping[str, str]) -> None:
    """Kill all jobs, since the processes of a job outlive the daemon that started them."""
    subprocess.run(["scancel", "--me", "--signal=KILL", "--full"], env=environment, capture_output=True, check=False)
    subprocess.run(["scancel", "--me"], env=environment, capture_output=True, check=False)
    left = ["squeue", "--noheader", "--me"]
    for _ in range(20):
        if not subprocess.run(left, env=environment, capture_output=True, text=True, check=False).stdout:
            return
        time.sleep(0.5)


def _stop(pid_file: Path) -> None:
    if pid_file.exists():
        subprocess.run(["kill", pid_file.read_text().strip()], check=False)
