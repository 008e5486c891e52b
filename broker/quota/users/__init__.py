"""What the operator sees and changes of a user's day. On the path of no call; a worker only watches for blocks."""
