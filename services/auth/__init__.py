"""Auth: who somebody is."""
