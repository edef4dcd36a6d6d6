"""Retour, the returns hub for partner programs. The way of a return through the code:

channels   what a sender sent, believed and turned into rows        (webhook, shopify, mail, salesforce ...)
files      the bytes of a file, turned into rows                    (unpack, table)
normalise  a row and its source's mapping, turned into one Modification or an Unreadable
intake     a delivery: stored raw, its rows inserted, its orders folded
apply      an order's records folded into its actions, one conditional write each
cascade    what a change of an action means for the actions that hang on it
answer     what became of it, told where the sender looks
clock      what is due when the clock says so: visits, locks, roll-ups
setup      the program document a merchant writes, its credentials, and its check against a sample file
trial      a source's connection tried for real, step by step
domain     what a return means; everything above asks it, it asks nobody (actions: the fold and all it reads)
api        calls read, what they ask for done, answered as JSON; console and command line stand beside it
"""
