"""What a verdict rests on: the capture, the packet ladder, the difference, the report."""
