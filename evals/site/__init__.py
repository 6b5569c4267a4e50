"""The leaderboard's site: one page with the ranking, comparisons and every episode, which needs nothing but itself."""

from evals.site.board import build as build
