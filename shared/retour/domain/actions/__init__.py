"""Actions, the modifications that change them, and the fold."""
