"""Retour, the returns hub for partner programs. The path of a return through the code:

channels         a sender's payload, authenticated and parsed into rows    (webhook, shopify, mail, salesforce ...)
files            a file's bytes, parsed into rows                          (unpack, table, xml, workbook)
normalise        a row and its source's mapping, turned into one Modification or an Unreadable
intake           a delivery: stored raw, checked against thresholds, read
posting          records inserted, orders folded, heads saved; cascades and waiting records
replies          the outcome, delivered where the sender looks
schedule         what is due by the clock: polls, locks, roll-ups
operations       redrive, refold, sweep, retention
setup            the program document, credentials, sample checks
connection_test  a source's connection, tested step by step
domain           what a return means; it imports nothing above it
api, console, cli    the ways in for programs and people
"""
