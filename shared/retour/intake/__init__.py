"""A delivery on its way in."""
