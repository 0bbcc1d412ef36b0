"""The handoff, explored: the daemon's own decisions on both sides, and a world that fails at will.

A world is a source, a destination and what is under way between them (`source.py`,
`destination.py`, `wire.py`); what they decide comes from bmigd.migration.handoff and .steps
(`rules.py`) and from nowhere else. `explore.py` visits every state up to a bound, `walk.py` walks
at random far beyond it, `invariants.py` says what must hold, `mutations.py` breaks the rules one by
one to prove that it would be noticed. `python -m tests.sim --help`; `make sim`.
"""
