"""The ``firmware`` target: the AP loop that ships, executed. ``open.py`` puts it together."""
