"""What holds for every test: property tests are never failed for being slow on a busy machine, and
an interrupt is one for what a test starts, though whoever started the tests had it ignored.
"""

import signal

from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
signal.signal(signal.SIGINT, signal.default_int_handler)
