"""The ``runner`` target: an AP loop behind a program of its own, driven over a protocol on stdio and a shared page."""
