"""Command ``worth``: is distilling worth it on this dataset, in the time that the student alone takes?

Students are trained for their mIoU on the validation split, one seed after another, until the sequential rule
of ``icsd.reporting.statistics.sequential`` has an answer for every method.
"""
