"""``python -m aiops_cli`` is ``aiops``."""

from aiops_cli import main

main()
