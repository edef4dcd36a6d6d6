"""Poll merchants' servers: ingest each file exactly once, and upload replies.

Which files were ingested is stored here and never derived from the folder: moving or deleting files is not possible
everywhere, and done only if the source asks for it.
"""
