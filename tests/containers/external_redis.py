"""A Redis outside the containers, with TLS and a private authority."""

import subprocess
from pathlib import Path

from tests.integration.redis_process import TLSRedis

PASSWORD = "of-the-external-redis"


class ExternalRedis(TLSRedis):
    """Listens on this machine's address in containers as well. Without a password, Redis would refuse their calls."""

    def __init__(self, folder: Path, host: str) -> None:
        self._host = host
        self.more = ("--bind", "127.0.0.1", host, "--requirepass", PASSWORD)
        super().__init__(folder)

    def prepare(self, folder: Path) -> None:
        """Create a certificate for both addresses."""
        super().prepare(folder)
        self.connection |= {"password": PASSWORD}
        command = (
            "openssl", "req", "-x509", "-key", str(self._key), "-days", "1", "-subj", "/CN=redis",
            "-addext", f"subjectAltName=IP:127.0.0.1,IP:{self._host}", "-out", str(self._certificate),
        )  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)

    @property
    def authority(self) -> str:
        """The certificate's text."""
        return self._certificate.read_text()
