"""The scenario interpreter: it speaks SMB2, observes everything, and judges nothing.

Copied into the client's container together with `lab/scenarios/model.py`; needs impacket alone.
"""
