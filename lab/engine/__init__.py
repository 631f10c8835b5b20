"""The container engine, seen from the host.

`bootstrap` finds or installs it, `base` makes the base image, `build` the nodes' images, `compose`
starts the topology, `accelerator` finds out whether KVM works, and `sdk`, the only module that
imports the docker package, is everything else: containers, exec, logs, removal. `explain` turns
what the tools say into a cause and a remedy.
"""
