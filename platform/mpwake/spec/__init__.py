"""What is demanded: requirements, editions, verdicts, and how our documents are read. Imports nothing of ours."""
