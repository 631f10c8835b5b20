"""The core on asyncio: sockets, threads for jobs, the clock. `server` is what to start."""
