"""Who is talking and whether a message is theirs: SPNEGO, NTLMv2, keys, signing, sealing. Pure."""
