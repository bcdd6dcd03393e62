"""Math solutions: their calculations, the kinds of flaw that can be put into them, and sound ones in other words."""
