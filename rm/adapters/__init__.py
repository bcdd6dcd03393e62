"""The TraceLift reward as planner trainers call it: TRL, verl, OpenRLHF. Signatures only; all else is `rm.reward`'s.

source says where rewards come from (a bundle in this process, or a server), rows turns a trainer's data into problem
rows, and trl, verl and openrlhf are one function each. No trainer is imported here.
"""
