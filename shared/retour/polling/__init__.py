"""A merchant's server is polled: which files are taken, each exactly once, and how an answer is left there.

What has been taken is remembered here and never read from the folder: moving or deleting files is not possible
everywhere, and not ours to do unless the source says so.
"""
