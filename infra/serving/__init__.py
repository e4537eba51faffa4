"""The gateway: one ASGI process that serves champion and challenger side by side, without torch."""
