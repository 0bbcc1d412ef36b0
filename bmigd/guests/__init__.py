"""Guests of this node: what they are, where that is kept, and the process that owns each one."""
