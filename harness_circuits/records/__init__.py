"""Results files and artifacts: written and read here."""
