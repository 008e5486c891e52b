"""The app that gunicorn serves: reads the environment once, and makes the one app of this process."""

import os
import sys

from broker.app import create_app
from broker.settings.settings import Settings, SettingsInvalid

try:
    app = create_app(Settings.from_environ(os.environ))
except SettingsInvalid as invalid:
    sys.exit(str(invalid))
