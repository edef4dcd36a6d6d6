"""What keeps the hub going without a person: work taken up again, leftovers swept, dead letters brought back."""
