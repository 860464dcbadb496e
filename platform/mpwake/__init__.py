"""mpwake: a conformance suite for the x86 multiprocessor wakeup mailbox."""

__version__ = "0.1.0"
