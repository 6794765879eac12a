"""Command ``worth``: is distillation worth it on this dataset, in the time that the student alone takes?

Students are trained, one seed after another, and compared by their mIoU on the validation split, until the
sequential rule of ``icsd.reporting.statistics.sequential`` has an answer for every method.
"""
