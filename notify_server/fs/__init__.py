"""Files: what the core may ask of a share's directory, and how that is done on a local one.

`api` is all that the core knows of it. `local` keeps it on a directory of this machine, `opens`
holds share modes and deletions, `feed` joins changes made over SMB with those that a source
(`inotify_source`, `fanotify_source`) saw beside the server.
"""
