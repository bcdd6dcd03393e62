"""Planners: language models that write reasoning traces, trained by GRPO on a reward, and tried with an executor.

config holds both configurations; prompts is what a planner reads. Training: data, rewards, model, grpo (TRL's trainer),
samples, page, run, check, save. Evaluation: benchmarks, traces, evaluate, summary, report.
"""
