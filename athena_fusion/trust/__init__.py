"""Why anyone may believe the numbers: keys, signed manifests, row-set hashes, the audit chain, secrets."""
