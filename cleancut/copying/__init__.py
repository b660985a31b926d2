"""Copying of groups from store to store: transfer, verification of copies, repair."""
