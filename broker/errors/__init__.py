"""Every error that a call can end in, and its JSON body. Raises nothing and knows no HTTP library."""
