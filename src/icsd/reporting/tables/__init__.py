"""The report's tables, one per module: ``rows`` gives the numbers, ``display`` the formatted table.

Rows are raw: scores in percent, differences in percentage points, gaps missing, nothing rounded; they become
the CSV file. A display is rounded text with notes; it becomes Markdown, LaTeX and HTML.
"""
