"""GPT Broker: ChatGPT for the signed-in users of a Supabase project, without the OpenAI key in the page."""
