"""Checks of running brokers: `make live TARGET=sksndev`. `make test` runs them against stand-ins."""
