"""The side of the package that faces Inspect AI: a model provider, and every circuit task.

Inspect loads `registry` by its entry point in every command; what is decorated there is light, and
loads the rest when it is used.
"""
