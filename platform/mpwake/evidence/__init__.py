"""What a target hands back: plain frozen data, decoded from bytes that may be hostile. Imports ``spec`` only."""
