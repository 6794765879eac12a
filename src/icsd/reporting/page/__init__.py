"""The pages that people read first: the answer in sentences, report.html, and the folder's README.md."""
