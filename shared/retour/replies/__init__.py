"""What became of a delivery, told where its sender looks."""
