"""Executors: frozen models that write final answers and programs, behind one small async protocol.

    executor = make_executor(OpenAIConfig(endpoints=["http://127.0.0.1:8000/v1"], model="my-model"))
    completions = await executor.sample(prompt, n=4, sampling=Sampling(temperature=0.5), seed=18)

An engine is imported where its executor is made, and nowhere else.
"""

from rm.uplift.executors.base import Completion, Executor, LikelihoodExecutor, Lost, Prompt, Sampling, Usage
from rm.uplift.executors.config import (
    ArithmeticConfig,
    ExecutorConfig,
    OpenAIConfig,
    TransformersConfig,
    VllmConfig,
    make_executor,
)

__all__ = [
    "ArithmeticConfig",
    "Completion",
    "Executor",
    "ExecutorConfig",
    "LikelihoodExecutor",
    "Lost",
    "OpenAIConfig",
    "Prompt",
    "Sampling",
    "TransformersConfig",
    "Usage",
    "VllmConfig",
    "make_executor",
]
