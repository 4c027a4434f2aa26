"""`python -m airloom`, which is also how torchrun starts it."""

from airloom.cli import main

main()
