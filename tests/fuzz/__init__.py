"""Broken files of every kind that Keystone reads: `readers` lists them, `mutations` breaks them, `watching` looks on.

A new reader is one entry in `readers.READERS`. The suite tries a few mutations of each file; `make fuzz MINUTES=30`
goes on for as long as it is told.
"""
