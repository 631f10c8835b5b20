"""What a kernel reports about itself on its console, as results: found, named, decoded."""
