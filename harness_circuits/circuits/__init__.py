"""What is found and kept: graph, scores, circuits, known circuits. No model, no torch."""
