"""Which images: tables with one row per image, their checks, splits and label maps."""
