"""File formats: bytes to typed frames and back, as pure functions over layouts kept as data."""
