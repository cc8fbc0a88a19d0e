"""A real SLURM of one node on this machine, as an unprivileged visitor never could have.

It takes root, Debian's packages slurm-wlm and munge, and a few seconds. Where that is not
to be had the tests are skipped, or fail where clients are required (solver_clients.py).
"""

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager, suppress

from solver_clients import need

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue")
SETTINGS = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MaxArraySize=1001
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def install():
    """Install what is missing, with apt; nothing where that cannot be."""
    if all(map(shutil.which, PROGRAMS)) or os.geteuid() or not shutil.which("apt-get"):
        return
    argv = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": 400,
             "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}  # fmt: skip
    packages = ["--no-install-recommends", "slurmctld", "slurmd", "slurm-client", "munge"]
    subprocess.run([*argv, "update"], **quiet)
    subprocess.run([*argv, "install", "-y", *packages], **quiet)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def one_node(folder):
    """Environment in which sbatch finds a SLURM with its files in ``folder``."""
    install()
    need(os.geteuid() == 0 and all(map(shutil.which, PROGRAMS)), "SLURM with munge, as root,")
    host = socket.gethostname().split(".")[0]
    ports = {"controller": free_port(), "daemon": free_port()}
    text = SETTINGS.format(folder=folder, host=host, cpus=os.cpu_count(), **ports)
    (folder / "slurm.conf").write_text(text)
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    for name in ("state", "spool"):
        (folder / name).mkdir()
    with (folder / "daemons.log").open("w") as log:
        commands = [
            ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key",
             f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid",
             f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed"],
            ["slurmctld", "-D", "-c"],
            ["slurmd", "-D", "-N", host],
        ]  # fmt: skip
        daemons = []
        try:
            for argv in commands:
                daemons.append(subprocess.Popen(argv, env=environment, stdout=log, stderr=log))
                time.sleep(1)
            wait_for(environment, daemons, folder)
            yield environment
        finally:
            for daemon in reversed(daemons):
                daemon.terminate()
            for daemon in daemons:
                with suppress(subprocess.TimeoutExpired):
                    daemon.wait(20)
                daemon.kill()
                daemon.wait()


def wait_for(environment, daemons, folder):
    """Wait until a job runs; need SLURM to be of use."""
    argv = ["srun", "--time=1", "true"]
    for _ in range(30):
        with suppress(subprocess.TimeoutExpired):
            if not subprocess.run(argv, env=environment, capture_output=True, timeout=5).returncode:
                return
        if any(daemon.poll() is not None for daemon in daemons):
            break
        time.sleep(1)
    logs = "".join(path.read_text(errors="replace")[-800:] for path in sorted(folder.glob("*.log")))
    need(False, f"SLURM that runs jobs (its daemons say: {logs})")
