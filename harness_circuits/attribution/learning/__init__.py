"""What methods that learn masks share: the loop, its options, its loss, and what is kept of it."""
