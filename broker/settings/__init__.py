"""The operator's settings: read once, validated together, then frozen. Never reads `os.environ`."""
