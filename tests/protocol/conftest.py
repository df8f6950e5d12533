"""Property tests have no deadline, since a busy machine would miss it."""

from hypothesis import settings

settings.register_profile("protocol", deadline=None)
settings.load_profile("protocol")
