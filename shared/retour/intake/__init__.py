"""Intake of deliveries: store them raw, check them against thresholds, read them."""
