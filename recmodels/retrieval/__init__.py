"""Search over item vectors and scores."""
