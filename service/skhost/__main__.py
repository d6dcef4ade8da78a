"""`python -m skhost` is the command line."""

from skhost.cli import main

main()
