"""The load generator process: `python -m tests.benchmarks.load calls|streams`.

Reads its job as JSON, writes the line `open` once all streams are open, and its report as JSON at the end.
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
    gc.disable()  # it runs one job, and a collection would be measured
    report: call_load.Report | stream_load.Report
    if sys.argv[1] == "calls":
        report = call_load.CallLoad(call_load.Job(**job)).run()
    else:
        report = stream_load.StreamLoad(stream_load.Job(**job), lambda: print("open", flush=True)).run()
    report.processor_seconds = time.process_time()
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
