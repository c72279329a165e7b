"""Circuit drawings and curves as pictures."""
