"""retour demo: one return over each of the five channels, by a real client of each, on this machine.

servers     the hub, and the merchant's own FTPS server
senders     the five clients, and where each finds its reply
scenario    the sales, the returns, and the expected payouts (infra/local/sample)
"""
