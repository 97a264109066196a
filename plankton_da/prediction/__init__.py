"""Use of a bundle: pixels to probabilities, inputs to rows, rows to files."""
