"""Settings of all tests: Hypothesis has no clock here, because test machines are shared."""

from hypothesis import settings

settings.register_profile("repository", deadline=None, max_examples=60)
settings.load_profile("repository")
