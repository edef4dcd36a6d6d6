"""What is due when the clock says so: visits, locks, roll-ups."""
