"""Files that others wrote, as groups: the official raw files, step labels, samples of models."""
