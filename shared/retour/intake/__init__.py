"""Deliveries on their way in: stored raw, checked against thresholds, read."""
