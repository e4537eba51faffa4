"""The gateway under measurement: `python -m benchmarks.serving [part ...]`, one module a part."""
