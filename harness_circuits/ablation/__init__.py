"""What replaces a removed unit, and the means that mean ablations need."""
