"""The WSGI app for gunicorn. Reads the environment once and builds the app of this process."""

import os
import sys

from broker.app import create_app
from broker.settings.settings import Settings, SettingsInvalid
from broker.telemetry.metrics import metrics_of_process

try:
    app = create_app(Settings.from_environ(os.environ), shared_metrics=metrics_of_process())
except SettingsInvalid as invalid:
    sys.exit(str(invalid))
