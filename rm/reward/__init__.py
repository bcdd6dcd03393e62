"""One reward for a reasoning trace: a rubric reward model's score and the uplift it gives a frozen executor, combined.

combine holds the formulas, scorer the facade that measures their parts, bundle the directory that carries all of it.
"""
