"""A local page and an HTTP interface: files come in, jobs run in workers, and a camera drives a portrait live."""
