"""Ports: what services need from outside, as Protocols, with one contract suite each."""
