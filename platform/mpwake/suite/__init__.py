"""Selection, the behave engine, and the event stream that every report reads."""
