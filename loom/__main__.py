"""`python -m loom` is `loom`."""

from loom.cli.commands import main

main()
