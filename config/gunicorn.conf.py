"""gunicorn's configuration: `.venv/bin/gunicorn -c config/gunicorn.conf.py wsgi:app` from the project's root."""

import gevent
from gevent import monkey

# Before any import of ssl: the app is preloaded, and patching in the workers would be too late (every HTTPS call
# would end in a RecursionError). The master keeps the original fork and signal handling; workers patch those.
monkey.patch_all(os=False, signal=False)

import gc  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from broker.server import env_file  # noqa: E402 - after sys.path is set
from broker.settings.secrets import EnvFileInvalid  # noqa: E402 - as above

# gunicorn executes this file again on a reload: the env file has been read by then, and the metrics stay
IS_RELOAD = "prometheus_client" in sys.modules
# the file `.env`, or the one in ENV_FILE, sets what the environment does not
try:
    ENV_FILE = env_file.load(ROOT / os.environ.get("ENV_FILE", ".env"), os.environ)
except EnvFileInvalid as invalid:
    sys.exit(str(invalid))

METRICS_PREFIX = "gpt-broker-metrics-"
if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    # read when prometheus_client is imported; a new folder per start, without old counts
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix=METRICS_PREFIX)
METRICS_FOLDER = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
METRICS_FOLDER.mkdir(parents=True, exist_ok=True)

from broker.server import multiprocess_metrics  # noqa: E402 - after PROMETHEUS_MULTIPROC_DIR is set
from broker.server.master import Master  # noqa: E402 - as above
from broker.settings.settings import Settings, SettingsInvalid  # noqa: E402 - as above
from broker.telemetry import json_logging  # noqa: E402 - as above

if not IS_RELOAD:
    multiprocess_metrics.clear(METRICS_FOLDER)

try:
    settings = Settings.from_environ(os.environ)
except SettingsInvalid as invalid:
    sys.exit(str(invalid))

bind = f"0.0.0.0:{settings.port}"
worker_class = "broker.server.worker.Worker"
# the embedded store lives in one process: two workers would count separately
workers = settings.web_concurrency if settings.redis_url else 1
worker_connections = 10_000  # open streams per worker
preload_app = True  # errors are reported once, before the port opens; workers share the memory
keepalive = 75  # seconds; longer than nginx keeps its connections (60)
timeout = 30  # seconds without a heartbeat after which a worker is replaced; open streams do not block it
graceful_timeout = settings.graceful_timeout
control_socket_disable = True
limit_request_fields = 50  # a browser, an SDK and two proxies send about forty
limit_request_field_size = 17_000  # bytes of one field: access tokens have up to 16 KB
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


def on_starting(_: Any) -> None:
    """In the master, once logging is set up: write warnings and unhandled exceptions as log lines."""
    logging.captureWarnings(capture=True)
    json_logging.log_unhandled()


def when_ready(server: Any) -> None:
    """In the master, before the fork. The configuration is executed again on a reload, but this hook is not."""
    from broker.web.services import EXTENSION  # noqa: PLC0415 - after the app is loaded

    metrics = server.app.wsgi().extensions[EXTENSION].metrics
    server.broker = Master(server, ENV_FILE, multiprocess_metrics.DeadWorkers(METRICS_FOLDER, metrics))
    multiprocess_metrics.drop_gauges(os.getpid())  # all 0, because the master serves nothing
    # exclude everything loaded so far from collection, so that its pages stay shared
    gc.collect()
    gc.freeze()


def on_reload(server: Any) -> None:
    """In the master, within a reload, before the new workers start."""
    server.broker.on_reload()


def post_fork(server: Any, worker: Any) -> None:
    """In a new worker, first: handle signals, which would be lost until the worker installs its handlers."""
    worker.state = server.broker.state
    signal.signal(signal.SIGTERM, worker.handle_exit)
    signal.signal(signal.SIGQUIT, lambda *_: os._exit(0))  # a new worker has nothing to lose


def post_worker_init(worker: Any) -> None:
    """In the worker, after the fork: start the background work."""
    gc.set_threshold(*GC_THRESHOLDS)
    gevent.get_hub().print_exception = json_logging.log_greenlet  # gevent would print a traceback
    worker.services().start()
    worker.memory_watchdog().start(worker.services().background)


def worker_exit(_: Any, worker: Any) -> None:
    """In the worker, at its end."""
    if getattr(worker, "wsgi", None):
        worker.services().close()


def child_exit(server: Any, worker: Any) -> None:
    """In the master, after a worker has ended."""
    server.broker.worker_exited(worker)


def on_exit(_: Any) -> None:
    """In the master, at its end."""
    multiprocess_metrics.clear(METRICS_FOLDER)
    if METRICS_FOLDER.name.startswith(METRICS_PREFIX):
        METRICS_FOLDER.rmdir()
