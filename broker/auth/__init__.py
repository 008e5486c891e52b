"""From an `Authorization` header to a `Caller`. Never counts calls and never talks to OpenAI."""
