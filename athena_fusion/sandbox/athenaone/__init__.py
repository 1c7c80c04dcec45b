"""The athenaOne side of the sandbox: token endpoint, athenaNet v1, armed faults."""
