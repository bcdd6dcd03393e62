"""The command line: `tracelift-rm VERB`."""
