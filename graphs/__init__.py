"""The prebuilt graphs: one a file."""
