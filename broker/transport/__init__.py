"""HTTP connections to OpenAI and Supabase, below `requests`: opening, reuse, framing, timeouts. Knows no API."""
