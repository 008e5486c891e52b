"""From the bytes of a streamed answer to events and text, as they arrive. Never buffers a whole answer."""
