"""The proof, the same for every flow: tie-outs and reconciliation, evidence packs, their verification and delivery."""
