"""How much a trace helps a frozen executor: measured, with an error bar, and apart from any judge of the trace."""
