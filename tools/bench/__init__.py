"""make bench: the same networks run in every usual way, checked, then timed. See __main__.py."""
