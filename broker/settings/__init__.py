"""The operator's settings: read once, checked together, then frozen. Never reads `os.environ` by itself."""
