"""Replies: the outcome of a delivery, delivered where its sender looks."""
