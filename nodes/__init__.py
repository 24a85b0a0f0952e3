"""The library of typed nodes: one a file, its prompt beside it."""
