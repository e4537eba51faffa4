"""Adapting a trained sequence model to a surface: prefixes, low-rank changes of its weights, or all of them."""
