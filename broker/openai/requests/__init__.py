"""From a client's JSON to a request that OpenAI is sent, or a refusal. Does no I/O."""
