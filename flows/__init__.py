"""Flows: what happens, when and in which order. It connects infra, monitoring and recmodels, and decides nothing."""
