"""Object stores: S3, a directory and memory behind one port, encrypted and metered."""
