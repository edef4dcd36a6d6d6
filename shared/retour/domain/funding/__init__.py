"""Payment schedules and their safety: the calendar from an order to its payment, and the funding proof (spec 8)."""
