"""The load generator, a process of its own: `python -m tests.benchmarks.load calls|streams`.

Reads its job as JSON; writes the line `open` once all streams are open, and at its end its report as JSON.
"""

import gc
import json
import sys
import time
from dataclasses import asdict

from tests.benchmarks import call_load, stream_load
from tests.benchmarks.upstream import allow_many_files


def main() -> None:
    """Run one job."""
    allow_many_files()
    job = json.load(sys.stdin)
    gc.disable()  # it lives for one job, and a pause of its own would be measured
    report: call_load.Report | stream_load.Report
    if sys.argv[1] == "calls":
        report = call_load.CallLoad(call_load.Job(**job)).run()
    else:
        report = stream_load.StreamLoad(stream_load.Job(**job), lambda: print("open", flush=True)).run()
    report.processor_seconds = time.process_time()
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
