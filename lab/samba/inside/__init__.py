"""What runs in the builder's container, beside the compiler: the standard library alone."""
