"""All of Flask: hooks, error handlers, responses. Never talks to Redis, Supabase or OpenAI by itself."""
