"""Worlds and scoring: text environments, verified problems, and the configuration that all commands share.

    env = envs.make("alfworld", split="valid_seen")
    text, info = env.reset(seed=3)
    text, reward, terminated, truncated, info = env.step(info["admissible_commands"][0])

Every world is a Gymnasium environment too: `gymnasium.make("keystone/ALFWorld-v0", split="valid_seen")` after `import
envs`. Nothing in this package imports a model or torch.
"""

from envs.installation import explained

with explained():
    from envs.config_schema import key
    from envs.errors import InputError
    from envs.players import RandomPlayer
    from envs.registry import config_class, gymnasium_id, make, names, register, register_gymnasium
    from envs.types import Info, Player, TextEnv
    from envs.vector import TextVectorEnv, vector

__all__ = [
    "Info",
    "InputError",
    "Player",
    "RandomPlayer",
    "TextEnv",
    "TextVectorEnv",
    "config_class",
    "gymnasium_id",
    "key",
    "make",
    "names",
    "register",
    "vector",
]

register_gymnasium()
