"""Clients for a single Redis, Sentinel and Cluster, with bounded time-outs. They never decide what a failure means."""
