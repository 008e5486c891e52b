"""gunicorn's configuration: `.venv/bin/gunicorn -c config/gunicorn.conf.py wsgi:app` from the project's root."""

from gevent import monkey

# Before any import of ssl: the app is preloaded, and patching in the workers would be too late (every HTTPS call
# would end in a RecursionError). The master keeps the original fork and signal handling; workers patch those.
monkey.patch_all(os=False, signal=False)

import gc  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from dotenv import load_dotenv  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# the file `.env`, or the one in ENV_FILE, sets what the environment does not
load_dotenv(ROOT / os.environ.get("ENV_FILE", ".env"))

if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    # read when prometheus_client is imported; a new folder per start, without old counts
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="gpt-broker-metrics-")
METRICS_FOLDER = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
shutil.rmtree(METRICS_FOLDER, ignore_errors=True)
METRICS_FOLDER.mkdir(parents=True)

from broker.settings.settings import Settings, SettingsInvalid  # noqa: E402

try:
    settings = Settings.from_environ(os.environ)
except SettingsInvalid as invalid:
    sys.exit(str(invalid))

bind = f"0.0.0.0:{settings.port}"
worker_class = "broker.server.worker.Worker"
# the embedded store lives in one process: two workers would count separately
workers = settings.web_concurrency if settings.redis_url else 1
worker_connections = 10_000  # open streams per worker
preload_app = True  # errors show once, before the port opens; workers share the memory
keepalive = 75  # seconds; longer than nginx keeps its connections (60)
timeout = 30  # seconds without a heartbeat after which a worker is replaced; open streams do not block it
graceful_timeout = settings.graceful_timeout
control_socket_disable = True
limit_request_fields = 50  # a browser, an SDK and two proxies send about forty
limit_request_line = 8190  # bytes; gunicorn's maximum: a prompt may be in the query
forwarder_headers = ""  # no header sets SCRIPT_NAME: gunicorn would trust any peer on loopback
# Allocations before a garbage collection. Calls create few cycles, and with thousands of open streams a full
# collection pauses every stream for a quarter of a second.
GC_THRESHOLDS = (20_000, 50, 20)
accesslog = None  # the app logs more, and no query
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": "broker.telemetry.json_logging.JsonFormatter"}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stdout"}},
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["stdout"], "propagate": False}},
}
# half of the cost of a log line is fields that no line shows: https://docs.python.org/3/howto/logging.html#optimization
logging._srcfile = None  # noqa: SLF001 - as documented there
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False

dead_workers: Any = None


def on_starting(_: Any) -> None:
    """In the master, once logging is set up: write Python's warnings as log lines."""
    logging.captureWarnings(capture=True)


def when_ready(server: Any) -> None:
    """In the master, before the fork: drop its gauges, which are all 0, because it serves nothing."""
    from broker.server.multiprocess_metrics import DeadWorkers, drop_gauges  # noqa: PLC0415 - after PROMETHEUS_MULTIPROC_DIR is set
    from broker.web.services import EXTENSION  # noqa: PLC0415 - as above

    global dead_workers  # noqa: PLW0603 - gunicorn's hooks have no other place
    dead_workers = DeadWorkers(METRICS_FOLDER, server.app.wsgi().extensions[EXTENSION].metrics)
    drop_gauges(os.getpid())
    # exclude everything loaded so far from collection, so that its pages stay shared
    gc.collect()
    gc.freeze()


def post_fork(_: Any, worker: Any) -> None:
    """In a new worker, first: handle signals, which would be lost until the worker installs its handlers."""
    signal.signal(signal.SIGTERM, worker.handle_exit)
    signal.signal(signal.SIGQUIT, lambda *_: os._exit(0))  # a new worker has nothing to lose


def post_worker_init(worker: Any) -> None:
    """In the worker, after the fork: start the background work."""
    gc.set_threshold(*GC_THRESHOLDS)
    worker.services().start()
    worker.memory_watchdog().start(worker.services().background)


def worker_exit(_: Any, worker: Any) -> None:
    """In the worker, at its end."""
    if getattr(worker, "wsgi", None):
        worker.services().close()


def child_exit(server: Any, worker: Any) -> None:
    """In the master: drop the dead worker's gauges and count its unfinished calls as lapsed."""
    if lapsed := dead_workers.mark_dead(worker.pid):
        server.log.warning("a worker died with %d calls in flight", lapsed)


def on_exit(_: Any) -> None:
    """In the master, at its end."""
    shutil.rmtree(METRICS_FOLDER, ignore_errors=True)
