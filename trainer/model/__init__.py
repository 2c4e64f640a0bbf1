"""The model that is trained: opened, adapted, exported."""
