"""How the broker is served: `.venv/bin/gunicorn -c config/gunicorn.conf.py wsgi:app` from the project's root."""

from gevent import monkey

# before anything imports ssl: the app is loaded once, before the workers are forked, and the workers
# would patch too late (every HTTPS call would then end in a RecursionError). The master's own business, to fork
# and to hear of its children's end, stays as it is; a worker patches that part by itself.
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

# what the environment does not set, a file may: `.env`, or the one that ENV_FILE names
load_dotenv(ROOT / os.environ.get("ENV_FILE", ".env"))

if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    # read when prometheus_client is imported; a new folder at each start, so that no old counts are in it
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
# the embedded store lives in one process: two would each count for themselves
workers = settings.web_concurrency if settings.redis_url else 1
worker_connections = 10_000  # open streams per worker
preload_app = True  # mistakes show once, before anything listens; workers share the memory
keepalive = 75  # seconds; longer than nginx keeps its connections (60)
timeout = 30  # seconds without a sign of life after which a worker is replaced; open streams do not count
graceful_timeout = settings.graceful_timeout
control_socket_disable = True
limit_request_fields = 50  # a browser's, an SDK's and two proxies' make some forty
limit_request_line = 8190  # bytes; the most that gunicorn takes: a prompt may be in it
forwarder_headers = ""  # no header names the app's path: gunicorn would take it from any peer on loopback
# objects before the collector looks for cycles among the new ones; calls leave hardly any, and with thousands of open
# streams a look at all of them holds every stream up for a quarter of a second
GC_THRESHOLDS = (20_000, 50, 20)
accesslog = None  # the app's own line says more, and no query
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": "broker.telemetry.json_logging.JsonLines"}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stdout"}},
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["stdout"], "propagate": False}},
}
# half of the time of a log line goes into what no line shows: https://docs.python.org/3/howto/logging.html#optimization
logging._srcfile = None  # noqa: SLF001 - as documented there
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False

dead_workers: Any = None


def on_starting(_: Any) -> None:
    """In the master, as soon as there is a log: what Python warns of is a line of it, not text among the lines."""
    logging.captureWarnings(capture=True)


def when_ready(server: Any) -> None:
    """In the master, before the fork: it serves nothing, so its gauges, all 0, must not be seen."""
    from broker.server.multiprocess_metrics import DeadWorkers, forget_gauges  # noqa: PLC0415 - only once the metrics' folder is set
    from broker.web.services import EXTENSION  # noqa: PLC0415 - as above

    global dead_workers  # noqa: PLW0603 - gunicorn's hooks have no other place
    dead_workers = DeadWorkers(METRICS_FOLDER, server.app.wsgi().extensions[EXTENSION].metrics)
    forget_gauges(os.getpid())
    # what is there by now stays: the collector need not look at it again, and so leaves its pages shared
    gc.collect()
    gc.freeze()


def post_fork(_: Any, worker: Any) -> None:
    """In a new worker, at once: until it listens to signals of its own, each would be the master's, and lost."""
    signal.signal(signal.SIGTERM, worker.handle_exit)
    signal.signal(signal.SIGQUIT, lambda *_: os._exit(0))  # it has nothing yet that it could lose


def post_worker_init(worker: Any) -> None:
    """In the worker, after the fork: begin what runs in the background."""
    gc.set_threshold(*GC_THRESHOLDS)
    worker.services().start()
    worker.memory_watch().start()


def worker_exit(_: Any, worker: Any) -> None:
    """In the worker, at its end."""
    if getattr(worker, "wsgi", None):
        worker.services().close()


def child_exit(server: Any, worker: Any) -> None:
    """In the master: a dead worker has no streams in flight, and what it was about to do is not done."""
    if lapsed := dead_workers.bury(worker.pid):
        server.log.warning("a worker died with %d calls in flight", lapsed)


def on_exit(_: Any) -> None:
    """In the master, at its end."""
    shutil.rmtree(METRICS_FOLDER, ignore_errors=True)
