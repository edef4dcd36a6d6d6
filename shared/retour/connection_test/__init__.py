"""A source's connection tried, step by step: what was tried, what was seen, and on failure what to do about it.

A trial is the real thing up to the point where news would come in: it logs in, lists, is believed, and stops there. It
never touches an action, fetches nothing and deletes nothing.

steps      what a trial consists of, how it is kept and how it is told
run        a trial begun, and run by the function whose library it needs
hooks, sftp, pull, mail, salesforce    the steps of each channel
"""
