"""How much a caller may still use, counted in Redis. The only package that talks to Redis; it never checks tokens."""
