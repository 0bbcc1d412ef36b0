"""The cluster's certificate authority; `issue` is the program, its output is never committed."""
