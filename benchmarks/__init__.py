"""Measurements whose figures stand in README and docs; not installed with the package."""
