"""The revenue flow: athenaOne transactions become balanced general-ledger journals per billing entity."""
