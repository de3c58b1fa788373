"""How fast, against whom? Run from the root as `python -P bench WHAT`; it is no part of the installed package."""
