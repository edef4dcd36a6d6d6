"""Workbooks (xlsx, xls, ods, HTML tables) to rows. All readers share the handling of sheets."""
