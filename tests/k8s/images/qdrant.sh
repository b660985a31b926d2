#!/bin/bash
# Entry point of Qdrant's image: the arguments are those that its chart gives (--uri, --bootstrap).
exec ./qdrant "$@"
