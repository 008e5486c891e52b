"""Turns a client's JSON for the Responses API into a request to OpenAI, or refuses it. Does no I/O."""
