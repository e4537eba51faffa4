"""What training costs beside building its histories, its batches and its lists: `python -m benchmarks.training`."""
