"""The two routes and the bridge: pages that read like the diagram."""
