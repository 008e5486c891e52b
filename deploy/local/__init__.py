"""The stack without any account: stand-ins for OpenAI and Supabase Auth, and the demo that joins them."""
