"""Primitives that everything is made of: errors, ids, timestamps and the codec of records."""
