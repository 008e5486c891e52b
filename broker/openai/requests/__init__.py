"""Turns a client's JSON into a request to OpenAI, or refuses it. Does no I/O."""
