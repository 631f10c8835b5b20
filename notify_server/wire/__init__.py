"""SMB2 on the wire: constants, frames and one codec module per command. Bytes in, dataclasses out."""
