"""Mending labels: a web page over a database of verdicts."""
