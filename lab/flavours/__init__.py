"""Flavours of the ksmbd node: other kernels, other builds of the module, side by side."""
