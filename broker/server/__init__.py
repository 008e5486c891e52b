"""Changes to gunicorn's master and gevent worker: reading requests, writing responses, stopping. Never uses Flask."""
