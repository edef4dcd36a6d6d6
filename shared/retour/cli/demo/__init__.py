"""retour demo: one return over each of the five channels, by a real client of each, on this machine.

stage       the hub that is shown, and the merchant's own FTPS server
senders     the five clients, and where each finds its answer
story       what is reported, what comes back, and what every partner must then be paid (infra/local/sample)
"""
