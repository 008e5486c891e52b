"""Tokens of a call: estimated before it, read from OpenAI's usage after it. Does no I/O."""
