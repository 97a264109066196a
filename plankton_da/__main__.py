"""``python -m plankton_da`` is ``plankton-da``."""

from plankton_da.cli import main

main()
