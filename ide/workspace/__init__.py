"""Projects: what is kept of one, how one goes, and all of them."""
