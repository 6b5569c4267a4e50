"""The leaderboard of layer-targeted agents: a submission is a delta file, and its score is one that anyone makes again.

`entries` says what an entry is, `database` keeps a user's own, `committed` are those of this repository, `sources`
reads what is handed in, `scoring` plays it, `ranking` gives places and `tables` writes them. `python -m
evals.leaderboard` is the command.
"""
