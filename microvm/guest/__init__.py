"""The guest: a program in machine code, and what makes its ROM image."""
