"""`python -m training.doctor`: what of an installation and of a planned run is broken, and the command that mends it.

`installation` needs nothing but the standard library, so that it can speak where Keystone's own imports fail; `machine`
and `data` look at what a run would use. A check is one function that returns what it found.
"""
