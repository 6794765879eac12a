"""The stage ``deploy``: champions as files for other programs, measured on the reported split."""
