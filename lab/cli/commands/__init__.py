"""One module per command. What a command needs is imported inside it, so that `lab` starts fast."""
