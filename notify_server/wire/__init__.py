"""SMB2 on the wire: constants, frames, one codec module per subject; no I/O."""
