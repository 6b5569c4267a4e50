"""Policies: what plays. Importing this package imports none of them, since some need heavy libraries."""
