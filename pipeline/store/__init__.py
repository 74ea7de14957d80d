"""The cache of intermediates: artifacts, arrays, keys, leases and retention."""
