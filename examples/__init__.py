"""Small programs that use agpd; each runs by itself against `agpd dev`."""
