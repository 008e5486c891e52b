"""One blueprint per endpoint family, each with its guard. A view reads, calls a service, shapes the answer."""
