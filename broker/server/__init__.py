"""Changes to gunicorn's gevent worker: reading requests, writing responses, stopping. Never uses Flask."""
