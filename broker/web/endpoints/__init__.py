"""One blueprint per endpoint family, each with a guard. A view reads, calls a service, shapes the answer: no `try`."""
