"""Bootstrap intervals and tests of differences, over plain arrays."""
