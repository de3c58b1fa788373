"""Six classic systems on one small hand-written Cython core."""
