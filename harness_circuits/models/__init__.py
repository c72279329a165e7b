"""A Hugging Face model taken apart into the nodes of the graph."""
