"""Metrics and the JSON log. Never holds a prompt, an answer, a token or a key."""
