"""Network namespaces of our own, and what can be seen on their cables."""
