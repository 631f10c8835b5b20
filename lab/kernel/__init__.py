"""The kernel module under development: reloaded, watched while it is edited, debugged.

`module` reads a module file, `refusal` says why the kernel did not take it, `reload` puts it into
the guest, `dev` does so at each saved file, `console`, `classes` and `gdb` look inside.
"""
