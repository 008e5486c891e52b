"""The accounting of one call: its record, reservation, Redis keys and end. Never decides a limit."""
