"""Oracle Fusion file-based data import: positional CSV files inside a ZIP."""
