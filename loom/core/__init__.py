"""The engine: declaring, checking, walking and executing graphs."""
