"""Checks of chapters and code that no library makes; the tests apply them."""
