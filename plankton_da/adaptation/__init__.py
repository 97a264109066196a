"""The network's learning: from two instruments' images to one bundle."""
