"""A pool of worker processes for worlds that are slow or may crash.

Every reset and step has a deadline. A worker that dies, does not answer in time or holds too much memory is named in
the log with what it was doing, killed with its children and started again; the episodes it held are played again there
from their first command, and only an episode that fails again and again ends as an error with its cause. So nothing
hangs, no episode is lost and none counts twice, and results are the same for any number of workers.

    with Pool(PoolConfig(workers=4)) as pool:
        episodes = rollout(Pooled(pool, "scienceworld", split="train"), policy, keys)

Files: `config` (its keys), `supervision` (the pool), `workers` and `episode` (what it keeps of each), `process` (a
worker's process as the pool sees it), `worker` (what runs in it), `messages` (what they say), `guardian` (nothing
outlives the pool's own process), `pooled` (environments whose rollouts are played in it), `counts`.
Left out: more than one machine, and systems without POSIX process groups.
"""

from envs.pool.config import PoolConfig
from envs.pool.counts import Counts
from envs.pool.episode import Start, World
from envs.pool.pooled import Pooled, counts_of, place
from envs.pool.supervision import Pool

__all__ = ["Counts", "Pool", "PoolConfig", "Pooled", "Start", "World", "counts_of", "place"]
