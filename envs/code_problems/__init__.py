"""Programming problems (`env=code`): MBPP, HumanEval-style files, datasets by name, and small generated problems."""

ENVIRONMENT = "code = envs.code_problems.environment:CodeProblems"
