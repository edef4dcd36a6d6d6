"""Workbooks to rows, in the formats that spreadsheets save (xlsx, xls); what they share is one sheet of rows."""
