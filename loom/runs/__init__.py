"""Runs: what awaits nodes, asks stores, and looks into what they hold."""
