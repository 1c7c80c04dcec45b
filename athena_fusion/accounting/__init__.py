"""What every money flow shares: crosswalks, the posting matrix, periods, combinations and correction journals."""
