"""The verbs of bmigctl; each parses, calls the client and prints."""
