"""From a client's JSON for the Responses API to a request that OpenAI is sent, or a refusal. Does no I/O."""
