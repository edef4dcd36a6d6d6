"""Connection tests: check the connection of a source step by step, and on failure say what to do about it.

A connection test does everything a real delivery would, up to ingesting anything: it logs in, lists and authenticates,
then stops. It never touches an action, fetches nothing and deletes nothing.

steps      what a test consists of, how it is stored and shown
run        a test started, and run by the function that has the library for it
hooks, sftp, pull, mail, salesforce    the steps of each channel
"""
