"""Offline judgement: metrics, slices, comparison, gate. Kept empty, since a recipe imports the gate's configuration."""
