"""The labels by which the lab knows its own things in the engine; teardown goes by NAME alone."""

NAME = "org.notify-lab.name"  # on containers, networks, volumes, images: the lab's name
NODE = "org.notify-lab.node"  # on containers and images: front, samba, ksmbd, py, client
CONTEXT = "org.notify-lab.context"  # on images: hash of what they were built from
CONFIG = "org.notify-lab.config"  # on containers: hash of the configuration they run with
WRITES = "org.notify-lab.writes"  # on jobs: the folders of this host that they write to
BASE = "org.notify-lab.base"  # on base images: how they were made
