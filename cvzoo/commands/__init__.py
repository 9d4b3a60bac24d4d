"""The commands of `cvzoo`, a few lines each; torch is imported by those that need it, inside them."""
