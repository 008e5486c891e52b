"""A real sshd on loopback in front of these tests' engine, for `HOST=ssh://user@host`."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from deploy.local.broker_process import free_port

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
AuthenticationMethods publickey
StrictModes no
UsePAM no
PidFile none
LogLevel VERBOSE
SetEnv {environment}
"""
CLIENT = """\
IdentityFile {folder}/user_key
IdentitiesOnly yes
UserKnownHostsFile {folder}/known_hosts
GlobalKnownHostsFile none
StrictHostKeyChecking yes
BatchMode yes
# one connection for all commands, as deploy/README.md advises
ControlMaster auto
ControlPath {folder}/kept
ControlPersist 60s
"""


class SshServer:
    """Admits the current user by a key of its own. The session finds the same docker as this process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        for key in ("host_key", "user_key"):
            subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key), check=True)
        found = {name: os.environ[name] for name in ("PATH", "DOCKER_HOST", "DOCKER_CONFIG") if name in os.environ}
        environment = " ".join(f'"{name}={text}"' for name, text in found.items())
        (folder / "server").write_text(SERVER.format(port=self.port, folder=folder, environment=environment))
        (folder / "client").write_text(CLIENT.format(folder=folder))
        self._start()

    @property
    def url(self) -> str:
        """For HOST."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def be_known(self) -> None:
        """Add this host's key to the user's known hosts."""
        host_key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}")

    def environment(self) -> dict[str, str]:
        """Return the environment of the user's commands. ssh ignores HOME, so its files are options."""
        bin_folder = self.folder / "bin"
        bin_folder.mkdir(exist_ok=True)
        (bin_folder / "ssh").write_text(f'#!/bin/sh\nexec {" ".join(self._ssh())} "$@"\n')
        (bin_folder / "ssh").chmod(0o755)
        return {"PATH": f"{bin_folder}:{os.environ['PATH']}", "HOST": self.url, "DOCKER_HOST": ""}

    def sessions(self) -> int:
        """Return the number of commands that have run."""
        return self._said().count("Starting session: command")

    def close(self) -> None:
        """End it at once, with the kept connection."""
        if (self.folder / "kept").exists():
            subprocess.run((*self._ssh(), "-O", "exit", "ignored"), capture_output=True, check=True)
        self.process.terminate()
        self.process.wait(10)

    def _start(self) -> None:
        sshd = shutil.which("sshd", path=PATH)
        assert sshd, "sshd is missing: `make test-containers` installs it"
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where Debian's sshd shuts its own helpers in
        with (self.folder / "said").open("w") as said:
            command = (sshd, "-D", "-e", "-f", self.folder / "server")
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, self._said()
            time.sleep(0.02)
        raise AssertionError("sshd did not start")

    def _ssh(self) -> tuple[str, ...]:
        program = shutil.which("ssh", path=PATH)
        assert program, "ssh is missing: `make test-containers` installs it"
        return program, "-F", str(self.folder / "client")

    def _said(self) -> str:
        return (self.folder / "said").read_text()
