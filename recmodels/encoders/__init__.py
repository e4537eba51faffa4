"""Sequence encoders: one shape in, one shape out."""
