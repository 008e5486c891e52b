"""The project's configuration; in addition each worker writes its own figures to a file."""

import gc
import json
import os
import time
from pathlib import Path
from typing import Any

import gevent
import greenlet

OWN = Path("config/gunicorn.conf.py").resolve()
globals()["__file__"] = str(OWN)
exec(compile(OWN.read_text(), OWN, "exec"), globals())  # noqa: S102 - a file of the project
VITALS = Path(os.environ["SOAK_VITALS"])
_init = globals()["post_worker_init"]


def post_worker_init(worker: Any) -> None:
    """Initialize the worker and record its figures every second."""
    _init(worker)
    gevent.spawn(_write_down)


def _write_down() -> None:
    while True:
        alive = [one for one in gc.get_objects() if isinstance(one, greenlet.greenlet) and not one.dead]
        vitals = {"greenlets": len(alive), "objects": len(gc.get_objects()), "time": time.time()}
        path = VITALS / f"{os.getpid()}.json"
        path.with_suffix(".new").write_text(json.dumps(vitals))
        path.with_suffix(".new").replace(path)
        gevent.sleep(1)
