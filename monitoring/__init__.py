"""monitoring judges: expectations, drift, canary verdicts and alerts."""
