"""smbd from a source tree: where it comes from, how it is built and installed."""
