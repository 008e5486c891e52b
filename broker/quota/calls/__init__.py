"""One call in the books: its record, reservation, keys and end. Never decides a limit."""
