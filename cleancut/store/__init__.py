"""Object stores: S3, Azure, Google Cloud and a directory behind one port, encrypted and metered."""
