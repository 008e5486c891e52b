"""Requests to OpenAI and what its answers mean. Only this package knows the OpenAI key, and it never sees Redis."""
