"""Authenticates callers by their `Authorization` header. Never counts calls and never talks to OpenAI."""
