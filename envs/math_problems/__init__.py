"""Mathematical problems in words: data sets, a generator of our own, and reasoning-gym's families.

One answer is asked for, or several attempts with feedback, with or without a calculator.
"""

ENVIRONMENT = "math = envs.math_problems.environment:MathProblems"
