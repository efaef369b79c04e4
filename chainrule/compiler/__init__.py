"""`compile`: what a function did once, as a program, made into one native call."""
