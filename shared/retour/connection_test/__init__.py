"""Connection tests: check a source's connection step by step, and say what to do about a failure.

A connection test does everything a delivery would, except for ingesting: it resolves, authenticates and lists, then
stops. It fetches nothing, deletes nothing and does not touch any action.

  steps      the steps of a test, and how it is stored and shown
  runner     start a test, and run it in the function that has the library for it
  webhook, sftp, pull, mail, salesforce    the steps of each channel
"""
