"""What the documents take from the code."""
