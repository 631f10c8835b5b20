"""Building ksmbd.ko for a flavour's kernel, in a container, from whatever source there is."""
