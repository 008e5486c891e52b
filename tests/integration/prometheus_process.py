"""A Prometheus process with the project's configuration that scrapes every half second."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import requests

from deploy.local.broker_process import ROOT, free_port


class PrometheusProcess:
    """One Prometheus. `brokers` maps each tenant to its broker's host:port.

    `is_hastened`: minutes in the rules are seconds, but 4 at least.
    """

    def __init__(self, folder: Path, brokers: dict[str, str], *, is_hastened: bool = False) -> None:
        program = shutil.which("prometheus")
        assert program, "prometheus is missing: `make test` installs it"
        config = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
        targets = [{"targets": [address], "labels": {"tenant": tenant}} for tenant, address in brokers.items()]
        (folder / "targets.json").write_text(json.dumps(targets))
        config = re.sub(r"(scrape|evaluation)_interval: 15s", r"\1_interval: 500ms", config)
        (folder / "prometheus.yml").write_text(config)
        rules = (ROOT / "deploy/prometheus/alerts.yml").read_text()
        if is_hastened:
            rules = re.sub(r"(\[|for: )(\d+)m", lambda found: f"{found[1]}{max(4, int(found[2]))}s", rules)
        (folder / "alerts.yml").write_text(rules)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = (folder / "log").open("w")
        self._process = subprocess.Popen(
            (program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}"),
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        for _ in range(200):
            try:
                if requests.get(self.url + "/-/ready", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.05)
        raise AssertionError((folder / "log").read_text())

    def query(self, expression: str) -> list[float]:
        """The current values of `expression`, one for each series."""
        answer = requests.get(self.url + "/api/v1/query", params={"query": expression}, timeout=10).json()
        assert answer["status"] == "success", (expression, answer)
        return [float(one["value"][1]) for one in answer["data"]["result"]]

    def alerts(self) -> list[dict[str, Any]]:
        """The pending and firing alerts, with labels and annotations."""
        return list(requests.get(self.url + "/api/v1/alerts", timeout=10).json()["data"]["alerts"])

    def rules(self) -> list[dict[str, Any]]:
        """The alert rules with their state of health."""
        groups = requests.get(self.url + "/api/v1/rules", timeout=10).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def stop(self) -> None:
        """Stop the process."""
        self._process.terminate()
        self._process.wait(20)
        self._log.close()
