"""The second stage: what is known of 100 candidates, and one order of them."""
