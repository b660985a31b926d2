"""Write-ahead logs of the local peer: their directories on this disk, and the tail of a shard."""
