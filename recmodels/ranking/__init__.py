"""The second stage: a hundred candidates of one request, judged by everything that is known when they are shown."""
