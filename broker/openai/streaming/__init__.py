"""Turns the bytes of a streamed answer into events and text as they arrive. Never buffers a whole answer."""
