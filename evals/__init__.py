"""Measuring: panels, statistics, evaluation runs and reports."""
