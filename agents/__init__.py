"""Text into actions, and the model as a stack of blocks."""
