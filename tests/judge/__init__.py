"""Whether a guest ever ran twice, went back in time or was lost, by what it printed and by what the
journals say. Knows nothing of the daemon's code: `python -m tests.judge --help`.
"""
