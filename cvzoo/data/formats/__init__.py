"""Data sets of other formats than COCO's, which readers here turn into it, and what a folder is recognised by."""
