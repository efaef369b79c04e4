"""`compile`: a whole training step captured as one program and run as one native call."""
