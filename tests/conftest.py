"""What holds for every test: property tests are never failed for being slow on a busy machine."""

from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
