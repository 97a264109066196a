"""Two drawn cameras and a small synthetic plankton archive, for ``plankton-da demo`` and tests."""
