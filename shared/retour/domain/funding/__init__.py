"""What is paid when, and whether that is safe: the calendar from an order to its payment, and the proof (spec 8)."""
