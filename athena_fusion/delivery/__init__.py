"""The way into Fusion: submission, read-back, the queue of what failed, correction and reload.

The same for every flow. Exactly once: an intent is stored before each call, and after a lost answer the delivery
looks before it sends again. Nothing leaves without passing the money gate, and nothing counts as loaded before
the ledger was read back and found equal.
"""
