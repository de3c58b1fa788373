"""The small engine every service stands on: loop, workers, protocols, structures."""
