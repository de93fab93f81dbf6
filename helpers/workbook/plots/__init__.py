"""Plots and other machinery of single chapters, one module a chapter: ``ch11.py`` for chapter 11.

A notebook shows what it teaches; what is only in the way there is one call of a function here.
"""
