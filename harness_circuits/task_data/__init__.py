"""The data of circuit tasks, one file per kind of source."""
