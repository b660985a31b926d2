"""Object stores: S3 and a directory behind one port, encrypted and metered."""
