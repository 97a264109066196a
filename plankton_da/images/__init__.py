"""Pixels: from a reference in a manifest to the uint8 square that the network sees."""
