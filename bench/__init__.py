"""Speed, measured beside what users would pick instead."""
