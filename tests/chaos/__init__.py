"""Faults provoked on purpose, through the commands as users call them: `python -m tests.chaos` (`make chaos`)."""
