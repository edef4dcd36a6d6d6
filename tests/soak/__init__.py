"""Histories: what may happen to a ledger, played by seed on the production code, and judged.

`weave` runs several workers and decides at every store call who goes on and who dies; `table` is the store they share;
`history` makes up what arrives; `world` plays it; `judge` says what must hold whatever happened; `model` is a second,
simple opinion of what an action must come to; `mutants` break the protocol on purpose, to see that it is noticed.
"""
