"""Every error that a call can end in, and the body that it gets. Raises nothing and knows no HTTP library."""
