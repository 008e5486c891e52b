"""Checks of running brokers: `make live TARGET=sksndev`. Not part of `make test`, which runs them against stand-ins."""
