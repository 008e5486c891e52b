"""Sends requests to OpenAI and interprets its answers. Only this package knows the OpenAI key; it never uses Redis."""
